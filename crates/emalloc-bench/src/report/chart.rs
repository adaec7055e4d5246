//! The chart: net time relative to the original, a group of bars for each trace. Plain SVG, readable on a light and on a
//! dark ground.

use std::fmt::{self, Write};

use anyhow::{Context, Result};

use super::{Line, find, mean_ratio};
use crate::contender::FLOORS;
use crate::stats::FLOOR;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 36.0;
/// Bars that are higher are cut, and say so.
const MOST: f64 = 3.0;

/// Colours of emalloc's settings, then of the others, that can be told apart on white and on black.
const OURS: [&str; 3] = ["#57b877", "#188a42", "#a6dab5"];
const THEIRS: [&str; 8] = [
    "#2f7ed8", "#77a8e6", "#8f6bc9", "#bfa6e0", "#d9822b", "#c94f6d", "#8c8c8c", "#b3b300",
];

/// One grey for both grounds: a page's theme is not always the one that the picture is told of.
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#757e88}.s{font-size:10px}\
.h{font-size:15px;font-weight:600}.l{stroke:#757e88;stroke-opacity:.35}.z{stroke:#757e88;stroke-width:2}";

/// One group of bars: a name, and for each allocator its net time relative to the original.
struct Group {
    name: String,
    bars: Vec<f64>,
}

/// The chart as a file.
///
/// # Errors
/// The original did not take part, so there is nothing to compare with.
pub fn svg(results: &[Vec<Line>]) -> Result<String> {
    let first = results.first().context("the chart needs a trace")?;
    find(first, "zend").context("the chart needs zend")?;
    let shown: Vec<usize> = (0..first.len())
        .filter(|&place| {
            !["null", "zend"].contains(&first[place].allocator)
                && !FLOORS.contains(&first[place].allocator)
        })
        .collect();
    let mut out = String::new();
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Net processor time per operation relative to PHP's own memory manager\"><style>{STYLE}</style>"
    )?;
    writeln!(
        out,
        "<text class=\"h\" x=\"{LEFT}\" y=\"20\">Net processor time, Zend MM = 1 (lower is better)</text>"
    )?;
    legend(&mut out, first, &shown)?;
    axis(&mut out)?;
    let groups = groups(results, &shown);
    let step = (WIDTH - LEFT - RIGHT) / groups.len() as f64;
    for (at, group) in groups.iter().enumerate() {
        let left = LEFT + step * at as f64;
        bars(&mut out, first, &shown, group, left, step)?;
    }
    let y = height_of(1.0);
    writeln!(
        out,
        "<line class=\"z\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
        WIDTH - RIGHT
    )?;
    writeln!(out, "</svg>")?;
    Ok(out)
}

fn groups(results: &[Vec<Line>], shown: &[usize]) -> Vec<Group> {
    let mut groups: Vec<Group> = results
        .iter()
        .filter_map(|lines| {
            let zend = find(lines, "zend")?.net_ns_per_op.max(FLOOR);
            let bars = shown
                .iter()
                .map(|&place| lines[place].net_ns_per_op.max(FLOOR) / zend)
                .collect();
            let name = lines[0].trace.clone();
            Some(Group { name, bars })
        })
        .collect();
    let means = shown
        .iter()
        .filter_map(|&place| mean_ratio(results, place, "zend").map(f64::recip));
    groups.push(Group {
        name: "geometric mean".to_owned(),
        bars: means.collect(),
    });
    groups
}

fn colour(lines: &[Line], shown: &[usize], at: usize) -> &'static str {
    let ours = |place: &&usize| lines[**place].allocator == "emalloc";
    let before = shown[..at].iter();
    if ours(&&shown[at]) {
        OURS[before.filter(ours).count() % OURS.len()]
    } else {
        THEIRS[before.filter(|place| !ours(place)).count() % THEIRS.len()]
    }
}

fn legend(out: &mut String, lines: &[Line], shown: &[usize]) -> fmt::Result {
    const PER_ROW: usize = 5;
    for (at, &place) in shown.iter().enumerate() {
        let x = LEFT + (at % PER_ROW) as f64 * 180.0;
        let y = 32.0 + (at / PER_ROW) as f64 * 18.0;
        let fill = colour(lines, shown, at);
        writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"11\" height=\"11\" fill=\"{fill}\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            x + 16.0,
            y + 10.0,
            lines[place].label
        )?;
    }
    Ok(())
}

fn axis(out: &mut String) -> fmt::Result {
    for half in 0..=(MOST * 2.0) as u32 {
        let value = f64::from(half) / 2.0;
        let y = height_of(value);
        writeln!(
            out,
            "<line class=\"l\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"s\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.1}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 3.5
        )?;
    }
    Ok(())
}

fn bars(
    out: &mut String,
    lines: &[Line],
    shown: &[usize],
    group: &Group,
    left: f64,
    step: f64,
) -> fmt::Result {
    let width = step * 0.86 / group.bars.len().max(1) as f64;
    for (at, &value) in group.bars.iter().enumerate() {
        let x = left + step * 0.07 + width * at as f64;
        let y = height_of(value);
        let fill = colour(lines, shown, at);
        writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{fill}\">\
             <title>{}, {}: {value:.2}</title></rect>",
            width - 0.6,
            height_of(0.0) - y,
            group.name,
            lines[shown[at]].label
        )?;
        if value > MOST {
            writeln!(
                out,
                "<text class=\"s\" transform=\"translate({:.1},{:.1}) rotate(-90)\">{value:.1}</text>",
                x + width - 1.0,
                y - 3.0
            )?;
        }
    }
    writeln!(
        out,
        "<text class=\"s\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        left + step / 2.0,
        HEIGHT - BOTTOM + 16.0,
        group.name
    )
}

/// Where a bar of this value ends.
fn height_of(value: f64) -> f64 {
    let bottom = HEIGHT - BOTTOM;
    bottom - (bottom - TOP) * value.min(MOST) / MOST
}
