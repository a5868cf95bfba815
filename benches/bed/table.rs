//! What is printed: ours, the floor's or peer's, their ratio and the target, a line each.

use std::time::Duration;

/// What the ratio must be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Printed for its own sake.
    None,
}

impl Target {
    pub fn words(self, ratio: f64) -> String {
        let (sign, bound, met) = match self {
            Target::AtLeast(bound) => ("≥", bound, ratio >= bound),
            Target::AtMost(bound) => ("≤", bound, ratio <= bound),
            Target::None => return String::new(),
        };
        format!("target {sign} {bound}: {}", if met { "met" } else { "MISSED" })
    }
}

pub fn title(text: &str) {
    println!("\n{text}");
}

/// Two durations (or sizes) and how many times the second goes into the first.
pub fn figures(what: &str, ours: &str, other: &str, ratio: f64, target: Target) {
    println!("{what:<44} {ours} | {other} | ratio {ratio:.2} {}", target.words(ratio));
}

/// One figure with a bound of its own.
pub fn figure(what: &str, value: f64, unit: &str, target: Target) {
    println!("{what:<44} {value:.3} {unit} {}", target.words(value));
}

pub fn milliseconds(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}
