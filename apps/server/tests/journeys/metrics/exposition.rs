//! The text format of Prometheus, read as strictly as it is written down: what a scraper might overlook is a failure here.

use std::collections::{BTreeMap, BTreeSet};

/// A number, and what it is told apart by.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// All numbers of one name.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) help: String,
    pub(super) samples: Vec<Sample>,
}

/// What was shown at one time.
#[derive(Debug, Default)]
pub(super) struct Exposition(pub(super) BTreeMap<String, Family>);

impl Exposition {
    /// Reads `text`; panics if it is not as it must be.
    pub(super) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut read = Self::default();
        let (mut present, mut described) = (String::new(), None);
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap_or_else(|| panic!("{line}"));
                assert!(described.replace((name.to_owned(), help.to_owned())).is_none(), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap_or_else(|| panic!("{line}"));
                let (of, help) = described.take().unwrap_or_else(|| panic!("no help before: {line}"));
                assert_eq!(of, name, "{line}");
                let family = Family { kind: kind.to_owned(), help, samples: Vec::new() };
                assert!(read.0.insert(name.to_owned(), family).is_none(), "twice: {line}");
                name.clone_into(&mut present);
            } else {
                let sample = sample(line);
                let family = read.0.get_mut(&present).unwrap_or_else(|| panic!("of nothing: {line}"));
                let suffix =
                    sample.name.strip_prefix(&present).unwrap_or_else(|| panic!("in {present}: {line}"));
                let suffixes: &[_] = match family.kind.as_str() {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    "counter" | "gauge" => &[""],
                    kind => panic!("{kind} is no kind: {present}"),
                };
                assert!(suffixes.contains(&suffix), "in {present}: {line}");
                family.samples.push(sample);
            }
        }
        assert_eq!(described, None);
        read.check();
        read
    }

    fn check(&self) {
        for (name, Family { kind, samples, .. }) in &self.0 {
            let mut seen = BTreeSet::new();
            for sample in samples {
                assert!(seen.insert((&sample.name, &sample.labels)), "twice: {sample:?}");
                assert!(kind == "gauge" || sample.value >= 0.0, "{sample:?}");
            }
            if kind == "histogram" {
                let total = |sample: &&Sample| sample.name.ends_with("_count");
                samples.iter().filter(total).for_each(|total| self.check_histogram(name, total));
            }
        }
    }

    /// Buckets hold what is smaller, too; the last holds all.
    fn check_histogram(&self, name: &str, total: &Sample) {
        let mut last = (f64::NEG_INFINITY, 0.0);
        for bucket in self.0[name].samples.iter().filter(|sample| sample.name.ends_with("_bucket")) {
            let mut labels = bucket.labels.clone();
            let edge = number(&labels.remove("le").unwrap_or_else(|| panic!("{bucket:?}")));
            if labels == total.labels {
                assert!(edge > last.0 && bucket.value >= last.1, "{bucket:?} after {last:?}");
                last = (edge, bucket.value);
            }
        }
        assert_eq!(last, (f64::INFINITY, total.value), "{total:?}");
    }

    /// The sum of all samples of `name` that have these labels.
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let family = name.strip_suffix("_count").or(name.strip_suffix("_sum")).unwrap_or(name);
        let samples = self.0.get(family).map_or(&[][..], |family| &family.samples);
        let is_meant = |sample: &&Sample| {
            let has = |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|v| v == value);
            sample.name == name && labels.iter().all(has)
        };
        samples.iter().filter(is_meant).map(|sample| sample.value).sum()
    }

    /// The values that a label has.
    pub(super) fn values_of(&self, name: &str, label: &str) -> BTreeSet<String> {
        self.0[name].samples.iter().filter_map(|sample| sample.labels.get(label).cloned()).collect()
    }

    /// How many numbers there are.
    pub(super) fn size(&self) -> usize {
        self.0.values().map(|family| family.samples.len()).sum()
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

fn sample(line: &str) -> Sample {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
            assert!(is_name(label), "{label}: {line}");
            let (value, after) = quoted(after).unwrap_or_else(|| panic!("no end of {label}: {line}"));
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} twice: {line}");
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => {
                    rest = after.strip_prefix('}').unwrap_or_else(|| panic!("no end: {line}"));
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value: {line}"));
    Sample { name: name.to_owned(), labels, value: number(value) }
}

/// What stands before the next quotation mark, and what after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

#[test]
fn what_is_right_is_read() {
    let text = "# HELP a_total All of \"it\".\n# TYPE a_total counter\na_total{b=\"c\\\"\\\\d\",e=\"\"} 3\na_total 4\n\n\
                # HELP h_seconds Long.\n# TYPE h_seconds histogram\nh_seconds_bucket{le=\"0.5\"} 1\n\
                h_seconds_bucket{le=\"+Inf\"} 2\nh_seconds_sum 1.25\nh_seconds_count 2\n\
                # HELP g Now.\n# TYPE g gauge\ng NaN\n";
    let read = Exposition::read(text);
    assert_eq!(read.value("a_total", &[]), 7.0);
    assert_eq!(read.value("a_total", &[("b", "c\"\\d")]), 3.0);
    assert_eq!((read.value("h_seconds_count", &[]), read.value("h_seconds_sum", &[])), (2.0, 1.25));
    assert_eq!((read.size(), read.value("none", &[])), (7, 0.0));
}

#[test]
fn what_is_wrong_is_not() {
    let head = "# HELP a A.\n# TYPE a gauge\n";
    let histogram = "# HELP h H.\n# TYPE h histogram\n";
    for wrong in [
        "a 1\n".to_owned(),
        format!("{head}a 1"),
        format!("{head}b 1\n"),
        format!("{head}a one\n"),
        format!("{head}a 1\na 1\n"),
        format!("{head}a{{b=\"c}} 1\n"),
        format!("{head}a{{b=\"c\",b=\"d\"}} 1\n"),
        format!("{head}{head}a 1\n"),
        "# TYPE a gauge\na 1\n".to_owned(),
        "# HELP a A.\n# TYPE a number\na 1\n".to_owned(),
        "# HELP a A.\n# TYPE a counter\na -1\n".to_owned(),
        format!("{histogram}h_bucket{{le=\"1\"}} 1\nh_sum 1\nh_count 1\n"),
        format!("{histogram}h_bucket{{le=\"1\"}} 2\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\n"),
        format!("{histogram}h_bucket{{le=\"+Inf\"}} 2\nh_sum 1\nh_count 1\n"),
    ] {
        let read = std::panic::catch_unwind(|| Exposition::read(&wrong));
        assert!(read.is_err(), "{wrong}");
    }
}
