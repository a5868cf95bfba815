//! Text for a POSIX shell.

/// One word, whatever is in it. Words that need no quotes get none, to be read by people.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A command line that a shell takes apart into these words again.
pub fn line(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_back_exactly_what_was_quoted() {
        for word in ["", "a b", "it's", "$HOME `id` \"x\"", "a\nb", "~", "*", "plain/word", "ü"] {
            let script = format!("printf %s {}", quote(word));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }

    #[test]
    fn plain_words_stay_plain() {
        assert_eq!(line(&["ssh".into(), "-i".into(), "/a/b".into()]), "ssh -i /a/b");
        assert_eq!(line(&["x".into(), "a b".into()]), "x 'a b'");
    }
}
