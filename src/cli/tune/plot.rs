//! Throughput against latency, in a terminal: a point for each setting, under its number in the table.

use std::fmt::Write as _;

/// Cells of the plane, without the axes.
const WIDTH: usize = 60;
const HEIGHT: usize = 14;
/// Where a number finds its cells taken, it may stand so far away.
const NEARBY: [(isize, isize); 6] = [(0, 0), (1, 0), (-1, 0), (0, 2), (0, -3), (1, 2)];

/// A point and its number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) number: usize,
    /// Linear, from 0.
    pub(super) x: f64,
    /// Logarithmic; more than 0.
    pub(super) y: f64,
}

/// What stands beside an axis.
pub(super) struct Axis<'a> {
    pub(super) title: &'a str,
    pub(super) shown: &'a dyn Fn(f64) -> String,
}

/// The plot; those that come first have their place for certain. Empty where there is nothing to compare.
pub(super) fn plot(points: &[Point], x: &Axis<'_>, y: &Axis<'_>) -> String {
    let points: Vec<Point> = points.iter().copied().filter(|point| point.y > 0.0 && point.x >= 0.0).collect();
    let largest = points.iter().map(|point| point.x).fold(0.0, f64::max);
    if points.len() < 2 || largest <= 0.0 {
        return String::new();
    }
    let (low, high) = decades(&points);
    let mut plane = vec![vec![' '; WIDTH]; HEIGHT];
    let mut hidden = Vec::new();
    for point in &points {
        let column = cell(point.x / largest, WIDTH - 2);
        let row = HEIGHT - 1 - cell((point.y / low).ln() / (high / low).ln(), HEIGHT - 1);
        if !put(&mut plane, row, column, &point.number.to_string()) {
            hidden.push(point.number.to_string());
        }
    }
    let mut labels = vec![String::new(); HEIGHT];
    for (row, value) in [(0, high), (HEIGHT / 2, middle(low, high)), (HEIGHT - 1, low)] {
        if let Some(label) = labels.get_mut(row) {
            *label = (y.shown)(value);
        }
    }
    let margin = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let mut text = format!("  {}\n", y.title);
    for (cells, label) in plane.iter().zip(&labels) {
        let line = format!("  {label:>margin$} |{}", cells.iter().collect::<String>());
        text.extend([line.trim_end(), "\n"]);
    }
    let end = (x.shown)(largest);
    let gap = WIDTH.saturating_sub(1 + end.chars().count());
    // Writing to a String does not fail.
    let written = writeln!(
        text,
        "  {empty:margin$} +{line}\n  {empty:margin$}  0{empty:gap$}{end}\n  {empty:margin$}  {title}",
        empty = "",
        line = "-".repeat(WIDTH),
        title = x.title
    );
    debug_assert!(written.is_ok());
    if !hidden.is_empty() {
        text.extend(["  Behind others: ", &hidden.join(", "), "\n"]);
    }
    text
}

/// The bounds of the logarithmic axis: each 1, 2 or 5 times a power of ten, and not the same.
fn decades(points: &[Point]) -> (f64, f64) {
    let least = points.iter().map(|point| point.y).fold(f64::INFINITY, f64::min);
    let most = points.iter().map(|point| point.y).fold(0.0, f64::max);
    let decade = |value: f64| 10_f64.powf(value.log10().floor());
    let steps = |value: f64| [1.0, 2.0, 5.0, 10.0].map(|step| step * decade(value));
    // A little beyond, so that what is computed of a bound is not past it.
    let low = steps(least).into_iter().rev().find(|step| *step <= least * 1.000_001).unwrap_or(least);
    let high = steps(most).into_iter().find(|step| *step >= most * 0.999_999).unwrap_or(most);
    if high > low { (low, high) } else { (low, low * 2.0) }
}

fn middle(low: f64, high: f64) -> f64 {
    (low * high).sqrt()
}

/// Which of `last + 1` cells a part of the axis falls into.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a part between 0 and 1 of a few dozen cells"
)]
fn cell(part: f64, last: usize) -> usize {
    (part.clamp(0.0, 1.0) * last as f64).round() as usize
}

/// Writes a label where its cells are free and no other label touches it; false where there is no such place nearby.
fn put(plane: &mut [Vec<char>], row: usize, column: usize, label: &str) -> bool {
    let width = label.chars().count();
    for (down, right) in NEARBY {
        let (Some(row), Some(column)) = (row.checked_add_signed(down), column.checked_add_signed(right)) else {
            continue;
        };
        let Some(cells) = plane.get_mut(row) else { continue };
        let around = column.saturating_sub(1)..(column + width + 1).min(cells.len());
        let is_free = column + width <= cells.len()
            && cells.get(around).is_some_and(|cells| cells.iter().all(|cell| *cell == ' '));
        if is_free {
            for (cell, letter) in cells.iter_mut().skip(column).zip(label.chars()) {
                *cell = letter;
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(points: &[(f64, f64)]) -> String {
        let points: Vec<Point> =
            points.iter().zip(1..).map(|((x, y), number)| Point { number, x: *x, y: *y }).collect();
        let (speed, time) = (|value: f64| format!("{value:.0}"), |value: f64| format!("{value:.0} ms"));
        plot(&points, &Axis { title: "events/s", shown: &speed }, &Axis { title: "p99", shown: &time })
    }

    #[test]
    fn points_stand_under_their_numbers_with_a_logarithmic_ordinate() {
        let text =
            drawn(&[(45_000.0, 130.0), (90_000.0, 70.0), (300_000.0, 40.0), (8_000.0, 25.0), (301_000.0, 900.0)]);
        let expected = "  p99
  1000 ms |                                                          5
          |
          |
          |
          |
          |
          |
   141 ms |         1
          |
          |                 2
          |
          |                                                          3
          |  4
    20 ms |
          +------------------------------------------------------------
           0                                                     301000
           events/s
";
        assert_eq!(text, expected, "{text}");
    }

    #[test]
    fn numbers_that_fall_together_stand_beside_each_other_or_are_named() {
        let text = drawn(&[(100.0, 50.0); 9]);
        for number in 1..=9 {
            assert!(text.contains(&number.to_string()), "{number}: {text}");
        }
        assert!(text.contains("  Behind others: "), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80 && line.trim_end() == line));
    }

    #[test]
    fn where_nothing_is_to_be_compared_nothing_is_drawn() {
        assert_eq!(drawn(&[]), "");
        assert_eq!(drawn(&[(1.0, 1.0)]), "");
        assert_eq!(drawn(&[(0.0, 1.0), (0.0, 2.0)]), "");
        assert_eq!(drawn(&[(1.0, 0.0), (2.0, 0.0)]), "");
        assert_eq!(drawn(&[(f64::NAN, 1.0), (1.0, f64::NAN)]), "");
    }

    proptest::proptest! {
        #[test]
        fn any_points_make_a_plot_that_fits_a_terminal(points in proptest::collection::vec((0.0..1e9_f64, 1e-9..1e6_f64), 0..40)) {
            for line in drawn(&points).lines().filter(|line| !line.starts_with("  Behind")) {
                proptest::prop_assert!(line.chars().count() <= 90, "{line}");
            }
        }
    }
}
