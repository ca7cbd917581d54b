use std::fmt;
use std::str::FromStr;

use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc, Weekday};
use chrono::{Datelike, MappedLocalTime};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// Minutes of a day on the wall.
const DAY: u16 = 24 * 60;
/// The most openings a week can have.
const MAX_OPENINGS: usize = 56;
/// The most dates that can be closed.
const MAX_CLOSED: usize = 400;
/// How far ahead the next opening is looked for.
const HORIZON_DAYS: u64 = 400;

const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Mon),
    ("tuesday", Weekday::Tue),
    ("wednesday", Weekday::Wed),
    ("thursday", Weekday::Thu),
    ("friday", Weekday::Fri),
    ("saturday", Weekday::Sat),
    ("sunday", Weekday::Sun),
];

/// A time zone by its IANA name: `Europe/Madrid`. Its rules are those of the `chrono-tz` release we are built with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.0.name()
    }

    /// The time on the wall there, `HH:MM`.
    pub fn wall_time(self, at: DateTime<Utc>) -> String {
        self.local(at).format("%H:%M").to_string()
    }

    /// The date and the time on the wall there, `2026-03-29 08:00`.
    pub fn wall_moment(self, at: DateTime<Utc>) -> String {
        self.local(at).format("%Y-%m-%d %H:%M").to_string()
    }

    fn local(self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.0).naive_local()
    }

    /// Every instant at which the wall shows `local`: two where clocks are set back over it. Where clocks are set
    /// forward over it, the instant at which they are.
    fn instants(self, local: NaiveDateTime) -> Vec<DateTime<Utc>> {
        // The longest gap there has been is a whole day (Samoa, 2011).
        let minutes = (0..=i64::from(DAY)).map(|minutes| local + TimeDelta::minutes(minutes));
        let found = minutes.map(|local| self.0.from_local_datetime(&local)).find_map(|mapped| match mapped {
            MappedLocalTime::Single(at) => Some(vec![at.to_utc()]),
            MappedLocalTime::Ambiguous(first, second) => Some(vec![first.to_utc(), second.to_utc()]),
            MappedLocalTime::None => None,
        });
        found.unwrap_or_default()
    }

    /// The instant between `from` and `to` at which clocks are changed, to the second.
    fn change(self, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let offset = |at: DateTime<Utc>| at.with_timezone(&self.0).offset().fix();
        let (mut before, mut after) = (from, to);
        if offset(before) == offset(after) {
            return None;
        }
        while after - before > TimeDelta::seconds(1) {
            let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
            if offset(middle) == offset(from) { before = middle } else { after = middle }
        }
        Some(after)
    }
}

impl FromStr for Zone {
    type Err = FieldError;
    fn from_str(name: &str) -> Result<Self, FieldError> {
        name.parse().map(Self).map_err(|_| FieldError::new("time_zone", Rule::Unknown))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part of every week, by the clock on the wall: from a minute on, up to another. One that ends no later than it
/// begins ends on the next day: a night shift is one opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    day: Weekday,
    /// 0 to 1439.
    from: u16,
    /// Minutes after the midnight that `day` begins with: more than a day's for one that ends on the next.
    to: u16,
}

impl Opening {
    /// Reads `monday`, `08:00`, `22:00`. The end of the day is `24:00` or `00:00`.
    ///
    /// # Errors
    /// Names the field and the rule. An opening does not end when it begins: a whole day is `00:00` to `24:00`.
    pub fn parse(day: &str, from: &str, to: &str) -> Result<Self, FieldError> {
        let day = DAYS.iter().find(|(name, _)| *name == day).map(|(_, day)| *day);
        let day = day.ok_or(FieldError::new("day", Rule::Unknown))?;
        let from = minute(from).filter(|minute| *minute < DAY);
        let from = from.ok_or(FieldError::new("from", Rule::Malformed))?;
        let malformed = FieldError::new("to", Rule::Malformed);
        let to = match minute(to).ok_or(malformed)? {
            0 => DAY,
            to => to,
        };
        match to {
            to if to == from => Err(malformed),
            to => Ok(Self { day, from, to: if to < from { to + DAY } else { to } }),
        }
    }

    /// The day it begins on.
    pub fn day(&self) -> &'static str {
        DAYS.iter().find(|(_, day)| *day == self.day).map_or("", |(name, _)| *name)
    }

    /// When it begins, `HH:MM`.
    pub fn from(&self) -> String {
        wall(self.from)
    }

    /// When it ends, `HH:MM` up to `24:00`.
    pub fn to(&self) -> String {
        wall(if self.to > DAY { self.to - DAY } else { self.to })
    }
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str| {
        let fits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| part.parse::<u16>().ok()).flatten()
    };
    let minute = digits(hours)? * 60 + digits(minutes).filter(|minutes| *minutes < 60)?;
    (minute <= DAY).then_some(minute)
}

fn wall(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// When something is open: parts of every week in a time zone, except on some dates.
///
/// It goes by the clock on the wall. Where clocks are set forward, the minutes that are left out are nobody's; where
/// they are set back, those that come twice are open twice. A closed date is closed from midnight to midnight, and
/// nothing that begins on it runs on into the next day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Schedule {
    zone: Zone,
    openings: Vec<Opening>,
    closed: Vec<NaiveDate>,
}

/// A schedule as it is stored.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    zone: String,
    weekly: Vec<[String; 3]>,
    #[serde(default)]
    closed: Vec<NaiveDate>,
}

impl TryFrom<Stored> for Schedule {
    type Error = FieldError;
    fn try_from(stored: Stored) -> Result<Self, FieldError> {
        let openings = stored.weekly.iter().map(|[day, from, to]| Opening::parse(day, from, to));
        Self::new(stored.zone.parse()?, openings.collect::<Result<_, _>>()?, stored.closed)
    }
}

impl From<Schedule> for Stored {
    fn from(schedule: Schedule) -> Self {
        let weekly = schedule.openings.iter();
        Self {
            zone: schedule.zone.as_str().to_owned(),
            weekly: weekly.map(|o| [o.day().to_owned(), o.from(), o.to()]).collect(),
            closed: schedule.closed,
        }
    }
}

impl Schedule {
    /// Open in these parts of every week, but not on `closed` dates. Openings may overlap; without any it never is.
    ///
    /// # Errors
    /// [`Rule::TooMany`].
    pub fn new(
        zone: Zone,
        mut openings: Vec<Opening>,
        mut closed: Vec<NaiveDate>,
    ) -> Result<Self, FieldError> {
        openings.sort_unstable_by_key(|o| (o.day.num_days_from_monday(), o.from, o.to));
        openings.dedup();
        closed.sort_unstable();
        closed.dedup();
        if openings.len() > MAX_OPENINGS {
            return Err(FieldError::new("weekly", Rule::TooMany { max: MAX_OPENINGS }));
        }
        if closed.len() > MAX_CLOSED {
            return Err(FieldError::new("closed_dates", Rule::TooMany { max: MAX_CLOSED }));
        }
        Ok(Self { zone, openings, closed })
    }

    /// Open at these times of every day.
    ///
    /// # Errors
    /// As [`Opening::parse`].
    pub fn daily(zone: Zone, from: &str, to: &str) -> Result<Self, FieldError> {
        let openings = DAYS.iter().map(|(day, _)| Opening::parse(day, from, to));
        Self::new(zone, openings.collect::<Result<_, _>>()?, Vec::new())
    }

    /// Its time zone.
    pub const fn zone(&self) -> Zone {
        self.zone
    }

    /// The parts of every week, from Monday on.
    pub fn openings(&self) -> &[Opening] {
        &self.openings
    }

    /// The dates on which it is closed, in order.
    pub fn closed_dates(&self) -> &[NaiveDate] {
        &self.closed
    }

    /// Whether it is open at this instant.
    pub fn is_open(&self, at: DateTime<Utc>) -> bool {
        let local = self.zone.local(at);
        let (today, minute) = (local.date(), local.hour() * 60 + local.minute());
        if self.is_closed(today) {
            return false;
        }
        let begun_today = || self.on(today).any(|o| (u32::from(o.from)..u32::from(o.to)).contains(&minute));
        let begun_yesterday =
            |yesterday| self.on(yesterday).any(|o| minute + u32::from(DAY) < u32::from(o.to));
        begun_today() || today.checked_sub_days(Days::new(1)).is_some_and(begun_yesterday)
    }

    /// The first instant from `at` on at which it is open: `at` itself if it is. `None` if that is not within
    /// 400 days.
    pub fn next_open_at(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_open(at) {
            return Some(at);
        }
        if self.openings.is_empty() {
            return None;
        }
        // It can begin to be open when an opening begins, at a midnight, and when clocks are changed. Clocks that are
        // set back shortly after midnight bring yesterday back: so look from yesterday on, and a day further than the
        // first that has one.
        let first = self.zone.local(at).date().checked_sub_days(Days::new(1))?;
        let opens = |days: u64| {
            let date = first.checked_add_days(Days::new(days))?;
            self.candidates(date).into_iter().filter(|begin| *begin >= at && self.is_open(*begin)).min()
        };
        let found = (0..=HORIZON_DAYS).find_map(|days| Some((days, opens(days)?)));
        found.map(|(days, begin)| opens(days + 1).map_or(begin, |other| begin.min(other)))
    }

    /// The hours of the day at `at`, `08:00-14:00, 16:00-20:00`; on a day without any, those of the next that has.
    pub fn hours_on(&self, at: DateTime<Utc>) -> String {
        let hours = |date: NaiveDate| {
            let hours = self.on(date).map(|o| format!("{}-{}", o.from(), o.to()));
            hours.collect::<Vec<_>>().join(", ")
        };
        let today = hours(self.zone.local(at).date());
        if today.is_empty() {
            return self.next_open_at(at).map(|next| hours(self.zone.local(next).date())).unwrap_or_default();
        }
        today
    }

    fn is_closed(&self, date: NaiveDate) -> bool {
        self.closed.binary_search(&date).is_ok()
    }

    /// The openings that begin on `date`.
    fn on(&self, date: NaiveDate) -> impl Iterator<Item = &Opening> {
        let closed = self.is_closed(date);
        self.openings.iter().filter(move |o| !closed && o.day == date.weekday())
    }

    /// Whenever on `date` it may begin to be open.
    fn candidates(&self, date: NaiveDate) -> Vec<DateTime<Utc>> {
        let at = |date: NaiveDate, minute: u16| {
            self.zone.instants(date.and_time(chrono::NaiveTime::MIN) + TimeDelta::minutes(i64::from(minute)))
        };
        let mut candidates = at(date, 0);
        let tomorrow =
            date.checked_add_days(Days::new(1)).map(|tomorrow| at(tomorrow, 0)).unwrap_or_default();
        if let (Some(begin), Some(end)) = (candidates.first(), tomorrow.last()) {
            candidates.extend(self.zone.change(*begin, *end));
        }
        candidates.extend(self.on(date).flat_map(|o| at(date, o.from)));
        candidates
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn weekly(zone_name: &str, openings: &[(&str, &str, &str)], closed: &[&str]) -> Schedule {
        let openings =
            openings.iter().map(|(day, from, to)| Opening::parse(day, from, to).unwrap()).collect();
        let closed = closed.iter().map(|date| date.parse().unwrap()).collect();
        Schedule::new(zone(zone_name), openings, closed).unwrap()
    }

    #[test]
    fn the_documented_hours_are_eight_to_ten_at_the_clinic() {
        let hours = Schedule::daily(zone("Europe/Madrid"), "08:00", "22:00").unwrap();
        // Winter: one hour ahead of UTC. Summer: two.
        for (open, closed) in [
            ("2026-01-15T07:00:00Z", "2026-01-15T06:59:59Z"),
            ("2026-01-15T20:59:59Z", "2026-01-15T21:00:00Z"),
            ("2026-07-15T06:00:00Z", "2026-07-15T05:59:59Z"),
            ("2026-07-15T19:59:59Z", "2026-07-15T20:00:00Z"),
        ] {
            assert!(hours.is_open(at(open)), "{open}");
            assert!(!hours.is_open(at(closed)), "{closed}");
        }
        let night = at("2026-01-15T22:30:00Z");
        assert_eq!(hours.next_open_at(night), Some(at("2026-01-16T07:00:00Z")));
        assert_eq!(hours.hours_on(night), "08:00-22:00");
        assert_eq!(hours.zone().wall_time(night), "23:30");
        let day = at("2026-01-15T12:00:01Z");
        assert_eq!(hours.next_open_at(day), Some(day), "it is open");
    }

    #[test]
    fn clocks_that_change_do_not_change_the_hours_on_the_wall() {
        let hours = Schedule::daily(zone("Europe/Madrid"), "08:00", "22:00").unwrap();
        // The nights before the last Sundays of March and October 2026.
        assert_eq!(hours.next_open_at(at("2026-03-28T22:00:00Z")), Some(at("2026-03-29T06:00:00Z")));
        assert_eq!(hours.next_open_at(at("2026-10-24T21:00:00Z")), Some(at("2026-10-25T07:00:00Z")));
    }

    #[test]
    fn an_opening_within_the_hour_that_is_left_out_is_not_there() {
        let hours = weekly("Europe/Madrid", &[("sunday", "02:10", "02:50")], &[]);
        // 02:00 to 03:00 does not happen on 2026-03-29.
        assert_eq!(hours.next_open_at(at("2026-03-29T00:00:00Z")), Some(at("2026-04-05T00:10:00Z")));
        // One that reaches into it begins when it is over.
        let hours = weekly("Europe/Madrid", &[("sunday", "02:10", "04:00")], &[]);
        assert_eq!(hours.next_open_at(at("2026-03-29T00:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
    }

    #[test]
    fn an_opening_within_the_hour_that_comes_twice_comes_twice() {
        // 02:00 to 03:00 happens twice on 2026-10-25: from 00:00Z and from 01:00Z.
        let hours = weekly("Europe/Madrid", &[("sunday", "02:00", "02:30")], &[]);
        let first = hours.next_open_at(at("2026-10-24T12:00:00Z"));
        assert_eq!(first, Some(at("2026-10-25T00:00:00Z")));
        assert_eq!(hours.next_open_at(at("2026-10-25T00:30:00Z")), Some(at("2026-10-25T01:00:00Z")));
        // Begun before it, ended within it: clocks that are set back open it again.
        let hours = weekly("Europe/Madrid", &[("sunday", "01:00", "02:30")], &[]);
        assert_eq!(hours.next_open_at(at("2026-10-25T00:30:00Z")), Some(at("2026-10-25T01:00:00Z")));
    }

    #[test]
    fn a_closed_date_is_closed_from_midnight_to_midnight() {
        let nights = [("thursday", "22:00", "06:00"), ("friday", "22:00", "06:00")];
        let hours = weekly("UTC", &nights, &["2026-12-25"]);
        // The 24th is a Thursday: its night ends at midnight; that of the 25th does not begin at all.
        assert!(hours.is_open(at("2026-12-24T23:59:00Z")));
        assert!(!hours.is_open(at("2026-12-25T00:00:00Z")));
        assert!(!hours.is_open(at("2026-12-25T23:00:00Z")));
        assert!(!hours.is_open(at("2026-12-26T03:00:00Z")));
        assert_eq!(hours.next_open_at(at("2026-12-25T00:00:00Z")), Some(at("2026-12-31T22:00:00Z")));
        assert_eq!(hours.hours_on(at("2026-12-25T12:00:00Z")), "22:00-06:00");
    }

    #[test]
    fn what_never_opens_says_so() {
        let never = weekly("Europe/Madrid", &[], &[]);
        assert_eq!(
            (never.is_open(at("2026-01-01T12:00:00Z")), never.next_open_at(at("2026-01-01T12:00:00Z"))),
            (false, None)
        );
        assert_eq!(never.hours_on(at("2026-01-01T12:00:00Z")), "");
    }

    #[test]
    fn openings_are_read_as_they_are_written() {
        for (from, to, written) in [
            ("08:00", "22:00", ("08:00", "22:00")),
            ("00:00", "24:00", ("00:00", "24:00")),
            ("00:00", "00:00", ("00:00", "24:00")),
            ("22:00", "06:00", ("22:00", "06:00")),
            ("22:00", "00:00", ("22:00", "24:00")),
        ] {
            let opening = Opening::parse("monday", from, to).unwrap();
            assert_eq!(
                (opening.day(), opening.from().as_str(), opening.to().as_str()),
                ("monday", written.0, written.1)
            );
        }
        for (day, from, to) in [
            ("Monday", "08:00", "22:00"),
            ("monday", "8:00", "22:00"),
            ("monday", "24:00", "22:00"),
            ("monday", "08:60", "22:00"),
            ("monday", "08:00", "24:01"),
            ("monday", "08:00", "08:00"),
            ("monday", "+8:00", "22:00"),
            ("monday", "", ""),
        ] {
            assert!(Opening::parse(day, from, to).is_err(), "{day} {from} {to}");
        }
        assert!("Mars/Olympus".parse::<Zone>().is_err());
    }

    #[test]
    fn what_is_stored_reads_back() {
        let hours = weekly(
            "America/Lima",
            &[("monday", "22:00", "06:00"), ("friday", "00:00", "24:00")],
            &["2026-12-25"],
        );
        let stored = serde_json::to_value(&hours).unwrap();
        assert_eq!(serde_json::from_value::<Schedule>(stored).unwrap(), hours);
    }

    /// Days on which clocks are changed, in zones that do it in every odd way; and quiet ones.
    const PLACES: [(&str, &str); 9] = [
        ("Europe/Madrid", "2026-03-29T00:00:00Z"),
        ("Europe/Madrid", "2026-10-25T00:00:00Z"),
        ("America/New_York", "2026-11-01T00:00:00Z"),
        // By half an hour.
        ("Australia/Lord_Howe", "2026-04-05T00:00:00Z"),
        // Forward at midnight.
        ("America/Sao_Paulo", "2018-11-04T00:00:00Z"),
        // Back one minute after midnight: yesterday comes back.
        ("America/St_Johns", "2008-11-02T00:00:00Z"),
        // A whole day left out.
        ("Pacific/Apia", "2011-12-30T00:00:00Z"),
        ("Asia/Kathmandu", "2026-05-05T00:00:00Z"),
        ("UTC", "2026-01-01T00:00:00Z"),
    ];

    /// Whether each minute of a date is open, painted by hand.
    fn painted(schedule: &Schedule, date: NaiveDate) -> Vec<bool> {
        let mut minutes = vec![false; usize::from(DAY)];
        if schedule.closed.contains(&date) {
            return minutes;
        }
        for opening in &schedule.openings {
            for (begins, shift) in [(date, 0), (date.pred_opt().unwrap(), usize::from(DAY))] {
                if begins.weekday() == opening.day && !schedule.closed.contains(&begins) {
                    for minute in usize::from(opening.from)..usize::from(opening.to) {
                        if let Some(cell) = minute.checked_sub(shift).and_then(|m| minutes.get_mut(m)) {
                            *cell = true;
                        }
                    }
                }
            }
        }
        minutes
    }

    prop_compose! {
        fn schedules()(
            place in 0..PLACES.len(),
            openings in prop::collection::vec((0..7_usize, 0..96_u16, 1..=96_u16), 0..6),
            closed in prop::collection::vec(-4..12_i64, 0..4),
            minutes in -3 * 1440..3 * 1440_i64,
            seconds in 0..60_i64,
        ) -> (Schedule, DateTime<Utc>) {
            let (name, around) = PLACES[place];
            let around = at(around);
            let openings = openings.into_iter().filter(|(_, from, to)| from != to);
            let openings = openings.map(|(day, from, to)| {
                Opening::parse(DAYS[day].0, &wall(from * 15), &wall(to * 15)).unwrap()
            }).collect();
            let closed = closed.into_iter().map(|days| (around + TimeDelta::days(days)).date_naive()).collect();
            let schedule = Schedule::new(zone(name), openings, closed).unwrap();
            (schedule, around + TimeDelta::minutes(minutes) + TimeDelta::seconds(seconds))
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn it_is_open_when_the_wall_says_so((schedule, at) in schedules()) {
            let local = schedule.zone.local(at);
            let minute = (local.hour() * 60 + local.minute()) as usize;
            prop_assert_eq!(schedule.is_open(at), painted(&schedule, local.date())[minute]);
        }

        /// Walking from minute to minute finds the same.
        #[test]
        fn the_next_opening_is_the_first_open_minute((schedule, at) in schedules()) {
            let next = schedule.next_open_at(at);
            if schedule.is_open(at) {
                prop_assert_eq!(next, Some(at));
                return Ok(());
            }
            let begin = at.with_second(0).unwrap() + TimeDelta::minutes(1);
            let walked = (0..16 * 1440).map(|m| begin + TimeDelta::minutes(m)).find(|m| schedule.is_open(*m));
            match walked {
                Some(_) => prop_assert_eq!(next, walked),
                None => prop_assert!(next.is_none_or(|next| next >= begin + TimeDelta::days(16))),
            }
        }
    }
}
