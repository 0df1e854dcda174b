//! The text of a `resolv.conf(5)`.

use super::Settings;
use std::time::Duration;

/// Limits of resolv.conf(5).
const MOST_DOTS: usize = 15;
const LONGEST_TIMEOUT: u64 = 30;
const MOST_ATTEMPTS: u32 = 5;

pub(super) fn parse(text: &str) -> Settings {
    let mut settings = Settings::new();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                if let Some(address) = words.next().and_then(|word| word.parse().ok()) {
                    settings = settings.server(address);
                }
            }
            // The last of these counts.
            Some("search" | "domain") => settings.search = words.map(Into::into).collect(),
            Some("options") => words.for_each(|option| apply(&mut settings, option)),
            _ => {}
        }
    }
    settings
}

fn apply(settings: &mut Settings, option: &str) {
    let Some((name, Ok(value))) = option
        .split_once(':')
        .map(|(name, value)| (name, value.parse::<u32>()))
    else {
        return;
    };
    match name {
        "ndots" => settings.dots = (value as usize).min(MOST_DOTS),
        "timeout" => {
            let seconds = u64::from(value).clamp(1, LONGEST_TIMEOUT);
            settings.timeout = Duration::from_secs(seconds);
        }
        "attempts" => settings.attempts = value.clamp(1, MOST_ATTEMPTS),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_taken() {
        let settings = parse(
            "# made by hand\n\
             domain old.example\n\
             search a.example b.example ; two\n\
             nameserver 10.0.0.1\n\
             nameserver not-an-address\n\
             nameserver fd00::1 # the other\n\
             sortlist 10.0.0.0\n\
             options ndots:2 timeout:1 attempts:99 rotate ndots:x\n",
        );
        let servers = ["10.0.0.1:53", "[fd00::1]:53"].map(|server| server.parse().unwrap());
        assert_eq!(settings.servers(), servers);
        assert_eq!(settings.search_domains(), ["a.example", "b.example"]);
        assert_eq!((settings.dots, settings.attempts), (2, MOST_ATTEMPTS));
        assert_eq!(settings.timeout, Duration::from_secs(1));
    }
}
