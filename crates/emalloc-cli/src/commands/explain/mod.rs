//! `emalloc explain`: what happens to a request of so many bytes, in words and as JSON. The pictures are in
//! `picture.rs`.

mod picture;

use std::io::{self, Write};

use emalloc::heap::{Explained, explain};
use emalloc::layout::PAGE;
use serde::Serialize;

use crate::args::ExplainArgs;
use crate::exit::Exit;
use crate::output::json;
use crate::output::size::{display, grouped};

#[derive(Serialize)]
struct Answer {
    segment_size: usize,
    requests: Vec<Request>,
}

#[derive(Serialize)]
struct Request {
    bytes: usize,
    #[serde(flatten)]
    served: Served,
}

/// How it is served. `waste` is what was not asked for, `waste_fraction` its part of the whole.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Served {
    Small {
        class: usize,
        block_size: usize,
        waste: usize,
        waste_fraction: f64,
        run_pages: usize,
        blocks_per_run: usize,
        run_waste: usize,
    },
    Large {
        pages: usize,
        block_size: usize,
        waste: usize,
        waste_fraction: f64,
    },
    Huge {
        header: usize,
        grant: usize,
        waste: usize,
        waste_fraction: f64,
    },
    TooLarge,
}

/// Explains every size and writes the answer.
pub fn run(args: &ExplainArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let segment_size = args.segment_size;
    if args.json {
        let requests = args.sizes.iter().map(|&bytes| Request {
            bytes,
            served: served(bytes, segment_size),
        });
        let answer = Answer {
            segment_size,
            requests: requests.collect(),
        };
        json::write(out, "explain", &answer)?;
        return Ok(Exit::Fine);
    }
    for (index, &bytes) in args.sizes.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        text(bytes, segment_size, out)?;
    }
    Ok(Exit::Fine)
}

fn served(bytes: usize, segment_size: usize) -> Served {
    let part = |whole: usize| (whole - bytes) as f64 / whole as f64;
    match explain(bytes, segment_size) {
        Explained::Small {
            class,
            block_size,
            run_pages,
            blocks_per_run,
            run_waste,
        } => Served::Small {
            class,
            block_size,
            waste: block_size - bytes,
            waste_fraction: part(block_size),
            run_pages,
            blocks_per_run,
            run_waste,
        },
        Explained::Large { pages, size } => Served::Large {
            pages,
            block_size: size,
            waste: size - bytes,
            waste_fraction: part(size),
        },
        Explained::Huge { header, size } => Served::Huge {
            header,
            grant: size,
            waste: size - bytes,
            waste_fraction: part(size),
        },
        _ => Served::TooLarge,
    }
}

fn text(bytes: usize, segment_size: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}:", exact(bytes))?;
    let segments = display(segment_size);
    match served(bytes, segment_size) {
        Served::Small {
            class,
            block_size,
            waste,
            waste_fraction,
            run_pages,
            blocks_per_run,
            run_waste,
        } => {
            let tail = match run_waste {
                0 => "nothing left over".to_owned(),
                _ => format!("{} left over", exact(run_waste)),
            };
            line(
                out,
                "small",
                &format!("size class {class}, blocks of {}", exact(block_size)),
            )?;
            line(out, "waste", &percent(waste, waste_fraction))?;
            let run = run_pages * PAGE;
            let text = format!(
                "{}, {}: {blocks_per_run} blocks, {tail}",
                pages_text(run_pages),
                exact(run)
            );
            line(out, "run", &text)?;
            picture::run(bytes, block_size, run, out)
        }
        Served::Large {
            pages,
            block_size,
            waste,
            waste_fraction,
        } => {
            let text = format!(
                "{} of its own, {}, in a segment of {segments}",
                pages_text(pages),
                exact(block_size)
            );
            line(out, "large", &text)?;
            line(out, "waste", &percent(waste, waste_fraction))?;
            picture::segment(pages, segment_size, out)
        }
        Served::Huge {
            header,
            grant,
            waste,
            waste_fraction,
        } => {
            line(
                out,
                "huge",
                &format!("too large for a segment of {segments}, so it gets one of its own"),
            )?;
            let text = format!(
                "{}, {} of it in front of the block",
                exact(grant),
                exact(header)
            );
            line(out, "taken", &text)?;
            line(out, "waste", &percent(waste, waste_fraction))?;
            line(
                out,
                "",
                "(at a limit, from a storage that deals in pages; far from it up to an eighth",
            )?;
            line(out, "", "more, so that the block may grow)")
        }
        Served::TooLarge => line(out, "refused", "no address space holds it"),
    }
}

fn line(out: &mut dyn Write, what: &str, text: &str) -> io::Result<()> {
    writeln!(out, "  {what:<8} {text}")
}

fn percent(waste: usize, fraction: f64) -> String {
    format!("{} ({:.1}%)", exact(waste), fraction * 100.0)
}

fn pages_text(pages: usize) -> String {
    match pages {
        1 => "1 page".to_owned(),
        _ => format!("{} pages", grouped(pages as u64)),
    }
}

fn exact(bytes: usize) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        _ => format!("{} bytes", grouped(bytes as u64)),
    }
}
