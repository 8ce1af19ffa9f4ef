//! What was measured: rows of one schema, as JSON for the merger and as a table for people.

use std::fmt::Write as _;

/// One line of the report. `ratio` is `value` over the value of `ratio_to`; `target` is what is promised, as text.
pub struct Row {
    pub group: &'static str,
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    pub ratio_to: Option<String>,
    pub ratio: Option<f64>,
    pub target: Option<String>,
    pub met: Option<bool>,
}

/// All lines.
#[derive(Default)]
pub struct Report {
    pub rows: Vec<Row>,
}

impl Report {
    /// A value without a promise.
    pub fn value(&mut self, group: &'static str, what: impl Into<String>, value: f64, unit: &'static str) {
        let (ratio_to, ratio, target, met) = (None, None, None, None);
        self.add(Row { group, what: what.into(), value, unit, ratio_to, ratio, target, met });
    }

    /// A value that is to be at most `most`.
    pub fn at_most(&mut self, group: &'static str, what: impl Into<String>, value: f64, unit: &'static str, most: f64) {
        let target = Some(format!("≤ {} {unit}", short(most)));
        let met = Some(value <= most);
        self.add(Row { group, what: what.into(), value, unit, ratio_to: None, ratio: None, target, met });
    }

    /// A value that is to be at most `most` times another, of the same run.
    pub fn against(
        &mut self,
        group: &'static str,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        (other, base): (&str, f64),
        most: f64,
    ) {
        let ratio = value / base;
        let target = Some(format!("≤ {} ×", short(most)));
        let (ratio_to, met) = (Some(format!("{other} ({} {unit})", short(base))), Some(ratio <= most));
        self.add(Row { group, what: what.into(), value, unit, ratio_to, ratio: Some(ratio), target, met });
    }

    /// A value beside another of the same run, without a promise.
    pub fn beside(
        &mut self,
        group: &'static str,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        (other, base): (&str, f64),
    ) {
        let ratio_to = Some(format!("{other} ({} {unit})", short(base)));
        let (ratio, target, met) = (Some(value / base), None, None);
        self.add(Row { group, what: what.into(), value, unit, ratio_to, ratio, target, met });
    }

    pub fn add(&mut self, row: Row) {
        eprintln!("{}", line(&row));
        self.rows.push(row);
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut group = "";
        for row in &self.rows {
            if row.group != group {
                group = row.group;
                let _ = writeln!(text, "\n{group}");
            }
            let _ = writeln!(text, "{}", line(row));
        }
        let promised = self.rows.iter().filter(|row| row.met.is_some()).count();
        let met = self.rows.iter().filter(|row| row.met == Some(true)).count();
        let _ = writeln!(text, "\n{met} of {promised} targets met");
        text
    }

    pub fn json(&self, conditions: &str) -> String {
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                format!(
                    "    {{\"group\": {}, \"what\": {}, \"value\": {}, \"unit\": {}, \"ratio_to\": {}, \"ratio\": {}, \
                     \"target\": {}, \"met\": {}}}",
                    quoted(row.group),
                    quoted(&row.what),
                    number(row.value),
                    quoted(row.unit),
                    row.ratio_to.as_deref().map_or("null".into(), quoted),
                    row.ratio.map_or("null".into(), number),
                    row.target.as_deref().map_or("null".into(), quoted),
                    row.met.map_or("null".into(), |met| met.to_string()),
                )
            })
            .collect();
        format!("{{\n  \"conditions\": {},\n  \"rows\": [\n{}\n  ]\n}}\n", quoted(conditions), rows.join(",\n"))
    }
}

fn line(row: &Row) -> String {
    let ratio = match (&row.ratio_to, row.ratio) {
        (Some(other), Some(ratio)) => format!("{:>6} × {other}", short(ratio)),
        _ => String::new(),
    };
    let met = match row.met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    };
    let value = format!("{} {}", short(row.value), row.unit);
    format!("  {:<58} {value:>14}  {ratio:<44} {:<14} {met}", row.what, row.target.as_deref().unwrap_or(""))
}

/// Three digits.
pub fn short(value: f64) -> String {
    let digits = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else if value.abs() >= 1.0 {
        2
    } else {
        3
    };
    format!("{value:.digits$}")
}

fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.4}") } else { "null".into() }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", character as u32);
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
