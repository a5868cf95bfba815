use super::Arguments;
use clap::{CommandFactory, Parser, error::ErrorKind};

fn parse(line: &str) -> Result<Arguments, ErrorKind> {
    let words = std::iter::once("mallee").chain(line.split_whitespace());
    Arguments::try_parse_from(words).map_err(|error| error.kind())
}

#[test]
fn the_arguments_are_declared_without_contradiction() {
    Arguments::command().debug_assert();
}

#[test]
fn everything_a_user_is_told_to_type_is_understood() {
    for line in [
        "up",
        "up --config f.toml --state /s --listen 127.0.0.1:9000 --hypervisor tcg --detach",
        "up --topology loopback",
        "down",
        "down --terminate",
        "down --purge",
        "status --output json",
        "status --types --region eu-west-1",
        "doctor",
        "doctor --config f.toml --output json",
        "env",
        "env --profile mallee",
        "env --output json",
        "image build",
        "image build --full --suite trixie",
        "image add disk.qcow2 --name web --private",
        "image add root.img --kernel vmlinuz --ramdisk initrd.img --architecture x86_64",
        "image list --output json",
        "image remove mallee-demo",
        "run",
        "run --image ami-12345678 --type t3.micro --key k --count 2 --name n --user-data f --no-wait",
        "run --wait --output json",
        "run --unless-running",
        "ssh",
        "ssh web -- uname -a",
        "console i-12345678 --follow",
        "check-config config/laptop.toml",
        "events",
        "events --follow --output json --since 2026-01-02T03:04:05Z",
        "events --since 10m",
        "account create ann",
        "credentials --zip ann.zip",
        "credentials --user ann --zip ann.zip --force --region eu-west-1",
        "--state /s status",
    ] {
        assert!(parse(line).is_ok(), "`mallee {line}`: {:?}", parse(line).err());
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "fly",
        "up --hypervisor xen",
        "up --listen nowhere",
        "up --topology mesh",
        "run --count 0",
        "image add root.img --ramdisk initrd.img",
        "image build --suite trixie",
        "env --profile p --output json",
        "status --region Not_A_Region",
        "check-config",
    ] {
        assert!(parse(line).is_err(), "`mallee {line}`");
    }
}

#[test]
fn only_up_in_the_foreground_is_the_cloud() {
    assert!(parse("up").unwrap().runs_the_cloud());
    assert!(!parse("up --detach").unwrap().runs_the_cloud());
    assert!(!parse("status").unwrap().runs_the_cloud());
}

#[test]
fn later_words_of_wait_and_no_wait_win() {
    assert!(parse("run --no-wait --wait").is_ok());
    assert!(parse("run --wait --no-wait").is_ok());
}
