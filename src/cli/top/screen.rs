//! The screen, drawn of what was seen. It says everything in words and figures: colour only repeats it.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::history::History;
use super::partitions;
use crate::cli::columns::cut;
use crate::cli::figures::{age, count, duration, percent};
use crate::cli::watched::Pipeline;

/// Letters of a fill bar.
const BAR: usize = 5;
/// Rows of the sparkline where the terminal has so many rows, else one.
const SPARK_ROWS: u16 = 4;
const HIGH: u16 = 16;
/// From here on a queue is called nearly full.
const NEARLY_FULL: f64 = 0.8;

pub(super) struct Screen<'a> {
    pub(super) url: &'a str,
    pub(super) history: &'a History,
    pub(super) has_colour: bool,
}

impl Screen<'_> {
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let spark = if frame.area().height >= HIGH { SPARK_ROWS } else { 1 };
        let rows = [Constraint::Min(4), Constraint::Length(1), Constraint::Length(spark), Constraint::Length(1)];
        let [table, title, spark, foot] = Layout::vertical(rows).areas(frame.area());
        let width = usize::from(frame.area().width);
        let mut lines = self.head(width);
        lines.extend(self.rows(width, usize::from(table.height).saturating_sub(lines.len())));
        let room = usize::from(table.height).saturating_sub(lines.len());
        lines.extend(partitions::lines(self.history.partitions(), room));
        frame.render_widget(Paragraph::new(lines), table);

        let delivered = self.history.delivered();
        let [now, most] = [delivered.last(), delivered.iter().max()].map(|rate| count(rate.copied().unwrap_or(0)));
        frame.render_widget(Line::raw(format!("delivered a second, last minute: now {now}, most {most}")), title);
        // A narrow terminal shows the end of the minute.
        let newest = delivered.get(delivered.len().saturating_sub(usize::from(spark.width))..).unwrap_or_default();
        frame.render_widget(Sparkline::default().data(newest.to_vec()), spark);
        frame.render_widget(Line::raw("q leaves"), foot);
    }

    /// Where, whether all is well, and the titles.
    fn head(&self, width: usize) -> Vec<Line<'static>> {
        let version = self.history.version().map_or(String::new(), |version| format!(" {version}"));
        let red = self.history.latest().iter().filter(|pipeline| pipeline.is_red()).count();
        let verdict = match self.history.unseen() {
            Some((_, ago)) => self.styled(format!("NOT SEEN for {}", age(ago)), Color::Red),
            None if self.history.latest().is_empty() => Span::raw("looking"),
            None if red == 0 => self.styled("all is well".to_owned(), Color::Green),
            None => self.styled(format!("{red} RED"), Color::Red),
        };
        let mut lines = vec![Line::from(vec![Span::raw(format!("siem-forward{version} at {}: ", self.url)), verdict])];
        lines.extend(self.history.unseen().map(|(why, _)| self.note(why, width)));
        lines.push(Line::raw(""));
        let titles = ["pipeline", "in/s", "out/s", "queue", "oldest", "p50", "p99", "breaker", "ok"].map(str::to_owned);
        lines.push(Line::styled(aligned(&titles), Style::new().add_modifier(Modifier::BOLD)));
        lines
    }

    /// A line for each pipeline, and below it what is wrong, as many as there is room for.
    fn rows(&self, width: usize, room: usize) -> Vec<Line<'static>> {
        let all = self.history.latest();
        let mut lines = Vec::new();
        for (index, pipeline) in all.iter().enumerate() {
            let mut block = vec![self.row(pipeline)];
            block.extend(words(pipeline).map(|words| self.note(&words, width)));
            let is_last = index + 1 == all.len();
            // One line is kept for what does not fit.
            if lines.len() + block.len() + usize::from(!is_last) > room {
                let red = all.iter().skip(index).filter(|pipeline| pipeline.is_red()).count();
                let red = if red > 0 { format!(", {red} of them RED") } else { String::new() };
                lines.push(Line::raw(format!("and {} more{red}", all.len() - index)));
                break;
            }
            lines.append(&mut block);
        }
        lines
    }

    fn row(&self, pipeline: &Pipeline) -> Line<'static> {
        let speed = |counter| self.history.rate(pipeline, counter).map_or("-".to_owned(), count);
        let latency = |time| Option::map_or(time, "-".to_owned(), duration);
        let cells = [
            cut(&pipeline.name, WIDTHS[0]),
            speed(|pipeline| pipeline.came),
            speed(|pipeline| pipeline.delivered),
            format!("{} {:>5}", bar(pipeline.fill), percent(pipeline.fill)),
            age(pipeline.oldest),
            latency(pipeline.p50),
            latency(pipeline.p99),
            pipeline.breaker.clone(),
        ];
        let (word, colour) = if pipeline.is_red() { ("RED", Color::Red) } else { ("ok", Color::Green) };
        let style = if pipeline.fill >= NEARLY_FULL { self.style(Color::Yellow) } else { Style::new() };
        Line::from(vec![Span::styled(aligned(&cells) + " ", style), self.styled(word.to_owned(), colour)])
    }

    fn note(&self, words: &str, width: usize) -> Line<'static> {
        Line::styled(cut(&format!("  {words}"), width), self.style(Color::Yellow))
    }

    fn styled(&self, text: String, colour: Color) -> Span<'static> {
        Span::styled(text, self.style(colour).add_modifier(Modifier::BOLD))
    }

    fn style(&self, colour: Color) -> Style {
        if self.has_colour { Style::new().fg(colour) } else { Style::new() }
    }
}

/// Of the columns: with a space between each two they fill 80 letters.
const WIDTHS: [usize; 9] = [10, 7, 7, 11, 11, 7, 7, 9, 3];
/// These columns are read from the left, the others from the right.
const TEXT: [usize; 3] = [0, 7, 8];

fn aligned(cells: &[String]) -> String {
    let cells = cells.iter().zip(WIDTHS).enumerate().map(|(column, (cell, width))| {
        if TEXT.contains(&column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    });
    cells.collect::<Vec<_>>().join(" ")
}

/// Why it is red; else what failed last.
fn words(pipeline: &Pipeline) -> Option<String> {
    let last = pipeline.last_error.as_ref();
    let last = last.map(|error| format!("last error {} ago: {}", age(error.ago), error.words));
    pipeline.reason.clone().or(last)
}

fn bar(fill: f64) -> String {
    let full = (1..=BAR).filter(|part| fill * to_float(BAR) >= to_float(*part) - 0.5).count();
    "#".repeat(full) + &".".repeat(BAR - full)
}

#[expect(clippy::cast_precision_loss, reason = "a few letters")]
fn to_float(letters: usize) -> f64 {
    letters as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::cli::watched::{LastError, Observed, Partition};

    fn pipeline(name: &str) -> Pipeline {
        Pipeline {
            name: name.to_owned(),
            siem_type: "splunk".to_owned(),
            is_healthy: true,
            reason: None,
            breaker: "closed".to_owned(),
            came: 0,
            delivered: 0,
            failed: 0,
            dropped: 0,
            waiting: 0,
            fill: 0.0,
            oldest: Duration::ZERO,
            p50: None,
            p99: None,
            failures: Default::default(),
            last_error: None,
        }
    }

    /// A green one that delivers more each second, one that has seen an error, and one that is red with a full queue.
    fn looked(second: u64) -> Observed {
        let mut green = pipeline("splunk");
        (green.came, green.delivered) = (second * second * 50, second * second * 49);
        (green.p50, green.p99) = (Some(Duration::from_micros(12_300)), Some(Duration::from_millis(250)));
        (green.oldest, green.fill) = (Duration::from_millis(1_300), 0.31);
        let mut met = pipeline("a-pipeline-with-a-long-name");
        met.breaker = "half_open".to_owned();
        met.last_error = Some(LastError { words: "timeout: no answer".to_owned(), ago: Duration::from_secs(200) });
        let mut red = pipeline("red");
        (red.is_healthy, red.breaker, red.fill) = (false, "open".to_owned(), 1.0);
        red.came = second * 1_234;
        red.oldest = Duration::from_secs(35_990);
        red.reason =
            Some(format!("the destination refuses us: http_401: {}, for 9 h 59 min", "Invalid token ".repeat(6)));
        let partitions = Vec::new();
        Observed { version: Some("0.1.0".to_owned()), pipelines: vec![green, met, red], partitions }
    }

    fn drawn(width: u16, height: u16, history: &History, has_colour: bool) -> TestBackend {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let screen = Screen { url: "http://127.0.0.1:9090", history, has_colour };
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        terminal.backend().clone()
    }

    fn assert_drawn(name: &str, screen: &TestBackend) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../../../tests/snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("top_{name}"), screen));
    }

    fn a_minute() -> History {
        let mut history = History::default();
        for second in 0..70 {
            history.add(Duration::from_secs(second), Ok(looked(second)));
        }
        history
    }

    #[test]
    fn a_screen_of_80_by_24_shows_everything_in_words() {
        assert_drawn("80x24", &drawn(80, 24, &a_minute(), false));
        assert_drawn("120x30", &drawn(120, 30, &a_minute(), true));
    }

    #[test]
    fn a_worker_shows_its_partitions_below_its_pipeline() {
        let of = |number: u32, lag, committed| {
            let topic = if number < 2 { "a-topic-with-a-name-that-is-too-long" } else { "audit" }.to_owned();
            Partition { topic, number, lag, committed }
        };
        let mut history = History::default();
        for second in 0..3 {
            let partitions = vec![
                of(0, None, None),
                of(1, Some(0), Some(2_000)),
                of(2, Some(1_234_567), Some(18_014_398_509_481_984)),
                of(3, Some(5), None),
            ];
            let pipelines = looked(second).pipelines.into_iter().take(1).collect();
            let observed = Observed { version: Some("0.1.0".to_owned()), pipelines, partitions };
            history.add(Duration::from_secs(second), Ok(observed));
        }
        assert_drawn("worker_80x24", &drawn(80, 24, &history, false));
        // Two rows of four, and how many more.
        assert_drawn("worker_80x13", &drawn(80, 13, &history, false));
        for height in 1..24 {
            drawn(80, height, &history, true);
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        assert_drawn("40x10", &drawn(40, 10, &a_minute(), false));
        for (width, height) in [(1, 1), (7, 3), (300, 2)] {
            drawn(width, height, &a_minute(), true);
        }
    }

    #[test]
    fn a_program_that_is_gone_is_told_and_what_was_seen_stays() {
        let mut history = History::default();
        assert_drawn("looking", &drawn(80, 12, &history, false));
        let nobody = || Err("nobody answers at http://127.0.0.1:9090: the connection is refused".to_owned());
        history.add(Duration::from_secs(0), Ok(looked(3)));
        history.add(Duration::from_secs(1), nobody());
        history.add(Duration::from_secs(21), nobody());
        assert_drawn("gone", &drawn(80, 24, &history, false));
        // Started anew: its counters begin again, and that is no rate.
        history.add(Duration::from_secs(22), Ok(looked(0)));
        assert!(history.unseen().is_none() && history.rate(&looked(0).pipelines[0], |one| one.came).is_none());
        history.add(Duration::from_secs(24), Ok(looked(2)));
        assert_eq!(history.rate(&looked(2).pipelines[0], |one| one.came), Some(100));
    }

    #[test]
    fn without_colour_there_is_none_and_with_it_red_is_red() {
        let colours = |has_colour| {
            let screen = drawn(80, 24, &a_minute(), has_colour);
            let cells = screen.buffer().content().iter().map(|cell| cell.fg);
            cells.filter(|colour| *colour != Color::Reset).collect::<std::collections::HashSet<_>>()
        };
        assert!(colours(false).is_empty());
        assert_eq!(colours(true), [Color::Red, Color::Green, Color::Yellow].into());
    }
}
