//! `simulate [--seconds N] [--minutes N] [--once] [--no-transactions] [--history FILE] FIRST [COUNT]`: runs seeds, each twice unless
//! told otherwise; as many as fit with `--minutes`. Prints a line for each; ends with 1 when a seed has findings or its runs differ.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use headwater_sim::scenario::{Report, Settings, run};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut settings, mut numbers, mut file) = (Settings::default(), Vec::new(), None);
    let (mut once, mut until) = (false, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => settings.seconds = number(arguments.next()),
            "--minutes" => {
                until = Some(Instant::now() + Duration::from_secs(60 * number(arguments.next())))
            }
            "--once" => once = true,
            "--no-transactions" => settings.transactions = false,
            "--history" => file = arguments.next(),
            _ => numbers.push(number(Some(argument))),
        }
    }
    let first = numbers.first().copied().unwrap_or(1);
    let count = numbers.get(1).copied().unwrap_or(1);
    let mut good = true;
    for seed in first.. {
        let over = until.map_or(seed >= first + count, |until| Instant::now() >= until);
        if over {
            break;
        }
        let began = Instant::now();
        let one = run(seed, settings);
        let two = if once {
            one.clone()
        } else {
            run(seed, settings)
        };
        good &= tell(&one, &two, began.elapsed().as_millis());
        if let Some(file) = &file {
            write(file, &one);
            write(&format!("{file}.again"), &two);
        }
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

fn number(text: Option<String>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn tell(one: &Report, two: &Report, ms: u128) -> bool {
    let (seed, hash, events) = (one.seed, one.hash, one.history.len());
    println!(
        "seed {seed}: {events} events, {} findings, hash {hash:016x}, {ms} ms",
        one.findings.len()
    );
    one.findings
        .iter()
        .take(20)
        .for_each(|finding| println!("  {finding}"));
    if !one.findings.is_empty() {
        one.events.iter().for_each(|event| println!("  at {event}"));
    }
    if one.hash != two.hash {
        println!(
            "seed {seed}: the second run differs: hash {:016x}",
            two.hash
        );
    }
    one.findings.is_empty() && one.hash == two.hash
}

fn write(file: &str, report: &Report) {
    let lines = report
        .history
        .iter()
        .filter_map(|line| serde_json::to_string(line).ok());
    if let Err(error) = std::fs::write(file, lines.collect::<Vec<_>>().join("\n")) {
        eprintln!("{file}: {error}");
    }
}
