//! Makes the README's table of results and `docs/bench.svg` from the file that the
//! benchmarks write: `cargo run --example figures -- [RATIOS.jsonl]`.
//!
//! The newest row of each benchmark is shown, and kept in `docs/ratios.jsonl`, so that not
//! all need to be measured at a time. Rows that were not measured on NetBSD are left out,
//! because they count for nothing.

use rump_examples::goals::{BENCHMARKS, Benchmark, Goal};
use rump_examples::ratios::{self, Row};
use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

const BEGIN: &str = "<!-- benchmarks:begin -->";
const END: &str = "<!-- benchmarks:end -->";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("figures: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::env::args()
        .nth(1)
        .map_or_else(|| root.join("target/ratios.jsonl"), Into::into);
    let read =
        |file: &Path| ratios::read(file, |complaint| eprintln!("figures: skipped {complaint}"));
    let docs = root.join("docs");
    std::fs::create_dir_all(&docs)?;
    let kept = docs.join("ratios.jsonl");
    let mut rows = if kept.exists() {
        read(&kept)?
    } else {
        Vec::new()
    };
    rows.extend(read(&file)?);
    let results: Vec<_> = BENCHMARKS
        .iter()
        .map(|benchmark| (benchmark, newest(&rows, benchmark.name)))
        .collect();
    if results.iter().all(|(_, row)| row.is_none()) {
        return Err(format!(
            "no row in {} counts: run `./ci.sh bench` with a NetBSD tree",
            file.display()
        )
        .into());
    }
    let readme = root.join("README.md");
    let text = std::fs::read_to_string(&readme)
        .map_err(|error| format!("{}: {error}", readme.display()))?;
    let text = replace(&text, &table(&results))
        .ok_or_else(|| format!("README.md has no {BEGIN} before {END}"))?;
    std::fs::write(&readme, text)?;
    let lines = results.iter().flat_map(|(_, row)| *row);
    let lines = lines
        .map(serde_json::to_string)
        .collect::<Result<Vec<_>, _>>()?;
    std::fs::write(&kept, lines.join("\n") + "\n")?;
    std::fs::write(docs.join("bench.svg"), plot(&results))?;
    println!(
        "README.md and docs/bench.svg show {} of {} benchmarks",
        results.iter().flat_map(|(_, row)| row).count(),
        results.len()
    );
    Ok(())
}

fn newest<'a>(rows: &'a [Row], name: &str) -> Option<&'a Row> {
    rows.iter()
        .filter(|row| row.name == name && row.counts())
        .max_by(|one, other| one.when.cmp(&other.when))
}

/// Puts something else between the two markers.
fn replace(text: &str, new: &str) -> Option<String> {
    let begin = text.find(BEGIN)? + BEGIN.len();
    let end = begin + text[begin..].find(END)?;
    Some(format!("{}\n{new}{}", &text[..begin], &text[end..]))
}

fn reached(goal: Goal, row: &Row) -> bool {
    match goal {
        Goal::Ratio(least) => row.ratio.is_some_and(|ratio| ratio >= least),
        Goal::AtMost(most) => row.ours <= most,
    }
}

fn table(results: &[(&Benchmark, Option<&Row>)]) -> String {
    let mut text = String::from(
        "| benchmark | what | rump | Linux | ratio | goal | spread | kernel |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (benchmark, row) in results {
        let goal = match benchmark.goal {
            Goal::Ratio(least) => format!("ratio ≥ {least}"),
            Goal::AtMost(most) => format!("≤ {most}"),
        };
        let cells = match row {
            None => format!("not measured | | | {goal} | | "),
            Some(row) => {
                let number =
                    |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
                let mark = if reached(benchmark.goal, row) {
                    "✓"
                } else {
                    "✗"
                };
                format!(
                    "{} {} | {} | {} | {goal} {mark} | {:.0} % | {}",
                    row.ours,
                    row.unit,
                    number(row.rival),
                    number(row.ratio),
                    row.spread * 100.0,
                    row.kernel
                )
            }
        };
        writeln!(
            text,
            "| {} | {} | {cells} |",
            benchmark.name, benchmark.what
        )
        .expect("a string takes everything");
    }
    let notes = results.iter().flat_map(|(_, row)| *row);
    for (row, note) in notes.filter_map(|row| Some((row, row.note.as_ref()?))) {
        write!(text, "\n{}: {note}.\n", row.name).expect("a string takes everything");
    }
    text
}

/// How much of its goal each benchmark reached: 1 is the goal, more is better.
fn plot(results: &[(&Benchmark, Option<&Row>)]) -> String {
    const LABELS: f64 = 190.0;
    const WIDTH: f64 = 420.0;
    const BAR: f64 = 24.0;
    /// The plot ends at so many times the goal.
    const MOST: f64 = 4.0;
    let bars: Vec<_> = results
        .iter()
        .filter_map(|(benchmark, row)| Some((benchmark, (*row)?)))
        .collect();
    let height = BAR * bars.len() as f64 + 50.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LABELS}\" y=\"16\">times its goal (more is better; bars end at {MOST})</text>\n",
        LABELS + WIDTH + 120.0
    );
    for (number, (benchmark, row)) in bars.iter().enumerate() {
        let times = match benchmark.goal {
            Goal::Ratio(least) => row.ratio.unwrap_or(0.0) / least,
            Goal::AtMost(most) if row.ours <= 0.0 || most <= 0.0 => {
                if row.ours <= most {
                    1.0
                } else {
                    0.0
                }
            }
            Goal::AtMost(most) => most / row.ours.max(most / 1000.0),
        };
        let (top, length) = (
            28.0 + BAR * number as f64,
            times.clamp(0.0, MOST) / MOST * WIDTH,
        );
        let colour = if reached(benchmark.goal, row) {
            "#3a7d44"
        } else {
            "#b3541e"
        };
        let value = match row.ratio {
            Some(ratio) => format!("ratio {ratio}"),
            None => format!("{} {}", row.ours, row.unit),
        };
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LABELS}\" y=\"{top}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{}\">{value}</text>",
            LABELS - 8.0,
            top + 14.0,
            benchmark.name,
            BAR - 6.0,
            LABELS + length + 6.0,
            top + 14.0,
        )
        .expect("a string takes everything");
    }
    let (goal, bottom) = (LABELS + WIDTH / MOST, height - 20.0);
    svg += &format!(
        "<line x1=\"{goal}\" y1=\"22\" x2=\"{goal}\" y2=\"{bottom}\" stroke=\"#333\" stroke-dasharray=\"4 3\"/>\n\
         <text x=\"{goal}\" y=\"{}\" text-anchor=\"middle\">goal</text>\n</svg>\n",
        bottom + 14.0
    );
    svg
}
