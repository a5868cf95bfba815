//! Protocols and ports of rules, as EC2 writes them: `tcp`, `22`, `22`; `icmp`, `8`, `-1`; `-1`.

use crate::{
    api::error::{ApiError, Code, echo},
    domain::port_filter::Traffic,
};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// What a request permits.
#[derive(Debug, Clone, Copy)]
pub struct TrafficParameters<'a> {
    pub protocol: &'a str,
    pub from_port: Option<i64>,
    pub to_port: Option<i64>,
}

impl TrafficParameters<'_> {
    /// Ports given for a protocol that has none are passed over, as EC2 documents it.
    pub fn read(self) -> Result<Traffic, ApiError> {
        let number = match self.protocol.to_ascii_lowercase().as_str() {
            "-1" | "all" => return Ok(Traffic::Any),
            "tcp" => TCP,
            "udp" => UDP,
            "icmp" => ICMP,
            "icmpv6" => ICMPV6,
            other => other.parse().map_err(|_| {
                ApiError::new(
                    Code::InvalidParameterValue,
                    format!(
                        "Invalid value '{}' for IP protocol. Unknown protocol.",
                        echo(self.protocol)
                    ),
                )
            })?,
        };
        match number {
            TCP => self.ports().map(|(from, to)| Traffic::Tcp { from, to }),
            UDP => self.ports().map(|(from, to)| Traffic::Udp { from, to }),
            ICMP => self.icmp().map(|(kind, code)| Traffic::Icmp { kind, code }),
            ICMPV6 => self.icmp().map(|(kind, code)| Traffic::Icmpv6 { kind, code }),
            number => Ok(Traffic::Protocol(number)),
        }
    }

    fn ports(self) -> Result<(u16, u16), ApiError> {
        let (from, to) = self.both("TCP/UDP")?;
        let port = |port: i64| {
            u16::try_from(port)
                .map_err(|_| malformed(format!("TCP/UDP port ({port}) out of range")))
        };
        let (from, to) = (port(from)?, port(to)?);
        if from > to {
            return Err(malformed(format!("Invalid TCP/UDP port range ({from}:{to})")));
        }
        Ok((from, to))
    }

    fn icmp(self) -> Result<(Option<u8>, Option<u8>), ApiError> {
        let (kind, code) = self.both("ICMP")?;
        let number = |what: &str, number: i64| match number {
            -1 => Ok(None),
            _ => u8::try_from(number)
                .map(Some)
                .map_err(|_| malformed(format!("ICMP {what} ({number}) out of range"))),
        };
        match (number("type", kind)?, number("code", code)?) {
            (None, Some(code)) => {
                Err(malformed(format!("ICMP code ({code}) needs an ICMP type other than -1")))
            }
            both => Ok(both),
        }
    }

    fn both(self, what: &str) -> Result<(i64, i64), ApiError> {
        self.from_port.zip(self.to_port).ok_or_else(|| {
            ApiError::new(
                Code::InvalidParameterValue,
                format!(
                    "Invalid value 'Must specify both from and to ports with {what}.' for \
                     portRange."
                ),
            )
        })
    }
}

fn malformed(message: String) -> ApiError {
    ApiError::new(Code::InvalidPermissionMalformed, message)
}

/// EC2's word for the protocol.
pub fn protocol(traffic: Traffic) -> String {
    match traffic {
        Traffic::Any => "-1".to_owned(),
        Traffic::Tcp { .. } => "tcp".to_owned(),
        Traffic::Udp { .. } => "udp".to_owned(),
        Traffic::Icmp { .. } => "icmp".to_owned(),
        Traffic::Icmpv6 { .. } => "icmpv6".to_owned(),
        Traffic::Protocol(number) => number.to_string(),
    }
}

/// Ports, or ICMP type and code; none for protocols that have neither.
pub fn ports(traffic: Traffic) -> Option<(i32, i32)> {
    let or_all = |number: Option<u8>| number.map_or(-1, i32::from);
    match traffic {
        Traffic::Any | Traffic::Protocol(_) => None,
        Traffic::Tcp { from, to } | Traffic::Udp { from, to } => Some((from.into(), to.into())),
        Traffic::Icmp { kind, code } | Traffic::Icmpv6 { kind, code } => {
            Some((or_all(kind), or_all(code)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(protocol: &str, from: Option<i64>, to: Option<i64>) -> Result<Traffic, ApiError> {
        TrafficParameters { protocol, from_port: from, to_port: to }.read()
    }

    #[test]
    fn protocols_are_read_by_name_or_number_and_shown_by_name() {
        let (one, two) = (Some(1), Some(2));
        for (protocol_given, from, to, traffic, shown) in [
            ("tcp", one, two, Traffic::Tcp { from: 1, to: 2 }, "tcp"),
            ("6", one, two, Traffic::Tcp { from: 1, to: 2 }, "tcp"),
            ("UDP", Some(0), Some(65535), Traffic::Udp { from: 0, to: 65535 }, "udp"),
            ("17", one, one, Traffic::Udp { from: 1, to: 1 }, "udp"),
            ("icmp", Some(-1), Some(-1), Traffic::Icmp { kind: None, code: None }, "icmp"),
            ("1", Some(8), Some(-1), Traffic::Icmp { kind: Some(8), code: None }, "icmp"),
            ("icmp", Some(3), Some(4), Traffic::Icmp { kind: Some(3), code: Some(4) }, "icmp"),
            ("58", Some(-1), Some(-1), Traffic::Icmpv6 { kind: None, code: None }, "icmpv6"),
            ("-1", None, None, Traffic::Any, "-1"),
            ("-1", Some(0), Some(0), Traffic::Any, "-1"),
            ("47", None, None, Traffic::Protocol(47), "47"),
            ("0", Some(1), Some(2), Traffic::Protocol(0), "0"),
        ] {
            assert_eq!(read(protocol_given, from, to), Ok(traffic), "{protocol_given}");
            assert_eq!(protocol(traffic), shown);
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for traffic in [
            Traffic::Any,
            Traffic::Tcp { from: 80, to: 81 },
            Traffic::Icmp { kind: Some(8), code: None },
            Traffic::Icmpv6 { kind: Some(128), code: Some(0) },
            Traffic::Protocol(50),
        ] {
            let (from, to) = ports(traffic).unzip();
            let again = read(&protocol(traffic), from.map(i64::from), to.map(i64::from));
            assert_eq!(again, Ok(traffic));
        }
    }

    #[test]
    fn ports_that_make_no_sense_are_refused_in_aws_s_words() {
        let check = |protocol, from, to, code: &str, message: &str| {
            let error = read(protocol, from, to).unwrap_err();
            assert_eq!((error.code.as_str(), error.message.as_str()), (code, message));
        };
        let value = "InvalidParameterValue";
        let malformed = "InvalidPermission.Malformed";
        let both = |what| {
            format!(
                "Invalid value 'Must specify both from and to ports with {what}.' for portRange."
            )
        };
        check("tcp", None, None, value, &both("TCP/UDP"));
        check("udp", Some(1), None, value, &both("TCP/UDP"));
        check("icmp", None, Some(1), value, &both("ICMP"));
        check("tcp", Some(-1), Some(22), malformed, "TCP/UDP port (-1) out of range");
        check("tcp", Some(0), Some(65536), malformed, "TCP/UDP port (65536) out of range");
        check("tcp", Some(80), Some(22), malformed, "Invalid TCP/UDP port range (80:22)");
        check("icmp", Some(256), Some(0), malformed, "ICMP type (256) out of range");
        check("icmp", Some(8), Some(-2), malformed, "ICMP code (-2) out of range");
        check(
            "icmp",
            Some(-1),
            Some(0),
            malformed,
            "ICMP code (0) needs an ICMP type other than -1",
        );
        check("tcpp", None, None, value, "Invalid value 'tcpp' for IP protocol. Unknown protocol.");
        for protocol in ["256", "-2", "", "tcp "] {
            assert!(read(protocol, Some(1), Some(1)).is_err(), "{protocol}");
        }
    }
}
