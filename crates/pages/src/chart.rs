//! Charts as SVG: where marks stand, in units of the drawing. Figures are exact text elsewhere; only places are floats here.

use std::fmt::Write;

use crate::numbers::Figure;

/// The drawing's width and height, in its own units; the page stretches it.
pub(crate) const WIDTH: f64 = 1000.0;
pub(crate) const HEIGHT: f64 = 200.0;

/// One day of a chart of areas.
pub(crate) struct Point {
    pub(crate) label: String,
    /// The lower layer and the upper one, as decimal text.
    pub(crate) layers: [String; 2],
    /// The value of the period before, in its same place.
    pub(crate) before: Option<String>,
    /// What is told where one points at the day.
    pub(crate) told: String,
}

/// Two layers of area over days, with the period before as a dashed line.
pub(crate) struct Areas {
    pub(crate) lower: String,
    pub(crate) upper: String,
    pub(crate) before: String,
    /// The scale, from the top to zero.
    pub(crate) scale: Vec<Figure>,
    /// Labels below the drawing, with their places in percent of its width.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) days: Vec<DayMark>,
}

/// The strip of one day, to point at.
pub(crate) struct DayMark {
    pub(crate) x: String,
    pub(crate) width: String,
    pub(crate) told: String,
}

fn float(text: &str) -> f64 {
    text.parse().unwrap_or(0.0)
}

/// The least number that is not below a value and is round, as its half is, for both are written at the axis.
pub(crate) fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= value)
        .unwrap_or(value)
}

fn line(heights: &[f64], x: impl Fn(usize) -> f64, top: f64) -> String {
    let mut path = String::new();
    for (i, height) in heights.iter().enumerate() {
        let letter = if i == 0 { 'M' } else { 'L' };
        let y = HEIGHT * (1.0 - (height / top).clamp(0.0, 1.0));
        let _ = write!(path, "{letter}{:.1} {y:.1}", x(i));
    }
    path
}

impl Areas {
    /// Draws points. `figure` prints a value of the scale.
    pub(crate) fn new(points: &[Point], figure: impl Fn(&str) -> Figure) -> Self {
        let lower: Vec<f64> = points.iter().map(|point| float(&point.layers[0])).collect();
        let whole = |point: &Point| float(&point.layers[0]) + float(&point.layers[1]);
        let upper: Vec<f64> = points.iter().map(whole).collect();
        let before: Vec<f64> = points
            .iter()
            .map_while(|point| point.before.as_deref().map(float))
            .collect();
        let greatest = upper.iter().chain(&before).copied().fold(0.0, f64::max);
        let top = round_up(greatest);
        let step = WIDTH / points.len().max(1) as f64;
        let x = |i: usize| step * (i as f64 + 0.5);
        // An area reaches the ends, so that one day is a block and not a needle.
        let area = |heights: &[f64]| {
            let (Some(first), Some(last)) = (heights.first(), heights.last()) else {
                return String::new();
            };
            let y = |height: f64| HEIGHT * (1.0 - height / top);
            let line = line(heights, x, top).replacen('M', "L", 1);
            format!(
                "M0 {HEIGHT}L0 {:.1}{line}L{WIDTH} {:.1}L{WIDTH} {HEIGHT}Z",
                y(*first),
                y(*last)
            )
        };
        let mark = |(i, point): (usize, &Point)| DayMark {
            x: format!("{:.1}", step * i as f64),
            width: format!("{step:.1}"),
            told: point.told.clone(),
        };
        let every = points.len().div_ceil(6).max(1);
        let label = |(i, point): (usize, &Point)| {
            let x = 100.0 * (i as f64 + 0.5) / points.len() as f64;
            (format!("{x:.2}%"), point.label.clone())
        };
        let labels = points.iter().enumerate().step_by(every).map(label);
        Self {
            lower: area(&lower),
            upper: area(&upper),
            before: line(&before, x, top),
            scale: [1.0, 0.5, 0.0]
                .map(|part| figure(&number(top * part)))
                .into(),
            labels: labels.collect(),
            days: points.iter().enumerate().map(mark).collect(),
        }
    }
}

/// A round number as decimal text.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bars of a few values beside each other, as heights of a drawing of 20.
pub(crate) fn bars(values: &[String]) -> Vec<(usize, String, String)> {
    let top = values.iter().map(|value| float(value)).fold(0.0, f64::max);
    let bar = |(i, value): (usize, &String)| {
        let height = if top > 0.0 {
            20.0 * float(value) / top
        } else {
            0.0
        };
        (
            i * 10,
            format!("{:.1}", 20.0 - height.max(0.5)),
            format!("{:.1}", height.max(0.5)),
        )
    };
    values.iter().enumerate().map(bar).collect()
}

/// A part of the greatest value, in percent with one digit.
pub(crate) fn percent(value: &str, greatest: f64) -> String {
    let part = if greatest > 0.0 {
        100.0 * float(value) / greatest
    } else {
        0.0
    };
    format!("{:.1}", part.clamp(0.0, 100.0))
}

/// The greatest of some values.
pub(crate) fn greatest<'v>(values: impl Iterator<Item = &'v String>) -> f64 {
    values.map(|value| float(value)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_a_scale_is_round() {
        for (value, top) in [
            (0.0, 1.0),
            (0.9, 1.0),
            (1.0, 1.0),
            (1.1, 1.2),
            (2.2, 2.4),
            (441.0, 500.0),
            (999.0, 1000.0),
            (1050.0, 1200.0),
        ] {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}");
        }
        assert_eq!(
            (number(500.0), number(0.25), number(0.0)),
            ("500".into(), "0.25".into(), "0".into())
        );
    }

    #[test]
    fn areas_lie_on_each_other() {
        let point = |lower: &str, upper: &str, before: Option<&str>| Point {
            label: "d".into(),
            layers: [lower.into(), upper.into()],
            before: before.map(str::to_owned),
            told: String::new(),
        };
        let points = [point("5", "5", Some("0")), point("0", "0", None)];
        let drawn = Areas::new(&points, |_| Figure::default());
        assert_eq!(
            drawn.lower,
            "M0 200L0 100.0L250.0 100.0L750.0 200.0L1000 200.0L1000 200Z"
        );
        assert_eq!(
            drawn.upper,
            "M0 200L0 0.0L250.0 0.0L750.0 200.0L1000 200.0L1000 200Z"
        );
        assert_eq!(drawn.before, "M250.0 200.0");
        assert_eq!(drawn.days[1].x, "500.0");
        assert_eq!(
            bars(&["1".into(), "2".into(), "0".into()])[2],
            (20, "19.5".into(), "0.5".into())
        );
        assert_eq!(percent("1", 4.0), "25.0");
    }
}
