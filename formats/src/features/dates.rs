//! Dates as text, in UTC: `YYYY-MM-DDTHH:MM:SS.SSSZ` (RFC 3339; also the form of GeoPackage 1.4, 12-128r19 table 1).
//!
//! The calendar is the proleptic Gregorian one.

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// Days of 400 years, and from 0000-03-01 to 1970-01-01.
const CYCLE: i64 = 146_097;
const EPOCH: i64 = 719_468;

/// Writes a moment into `out`, whose content is replaced; false where its year has not four digits.
///
/// ```
/// use offmap_formats::features::date_text;
///
/// let mut text = String::new();
/// assert!(date_text(1_709_211_600_007, false, &mut text));
/// assert_eq!(text, "2024-02-29T13:00:00.007Z");
/// assert!(date_text(-1, true, &mut text));
/// assert_eq!(text, "1969-12-31");
/// ```
pub fn date_text(ms: i64, is_date_only: bool, out: &mut String) -> bool {
    out.clear();
    let (year, month, day) = civil(ms.div_euclid(DAY));
    if !(0..=9_999).contains(&year) {
        return false;
    }
    let rest = ms.rem_euclid(DAY);
    put_digits(year, 4, out);
    for (before, value, width) in [
        ('-', month, 2),
        ('-', day, 2),
        ('T', rest / 3_600_000, 2),
        (':', rest / 60_000 % 60, 2),
        (':', rest / 1_000 % 60, 2),
        ('.', rest % 1_000, 3),
    ] {
        if is_date_only && before == 'T' {
            return true;
        }
        out.push(before);
        put_digits(value, width, out);
    }
    out.push('Z');
    true
}

fn put_digits(value: i64, width: u32, out: &mut String) {
    for place in (0..width).rev() {
        // One digit.
        out.push(char::from(b'0' + (value / 10_i64.pow(place) % 10) as u8));
    }
}

/// Year, month and day of a day since 1970. The year is thought to begin in March, so that its odd day is its last one.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + EPOCH;
    let (cycle, of_cycle) = (day.div_euclid(CYCLE), day.rem_euclid(CYCLE));
    let year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (cycle * 400 + year + i64::from(month <= 2), month, day)
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    cycle * CYCLE + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - EPOCH
}

/// Reads `YYYY-MM-DD`, or that with a time behind `T` or a blank, with or without seconds, their fraction, and `Z` or an offset.
/// What has no offset is UTC. `None` for anything else.
///
/// ```
/// use offmap_formats::features::read_date;
///
/// assert_eq!(read_date("2024-02-29T13:00:00.007Z"), Some(1_709_211_600_007));
/// assert_eq!(read_date("2024-02-29 14:00:00+01:00"), Some(1_709_211_600_000));
/// assert_eq!(read_date("2024-02-30"), None);
/// ```
#[must_use]
pub fn read_date(text: &str) -> Option<i64> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    let (date, time) = match text.split_at_checked(10)? {
        (date, "") => (date, "T00:00:00Z"),
        found => found,
    };
    let (year, month, day) = (number(date.get(..4)?)?, number(date.get(5..7)?)?, number(date.get(8..10)?)?);
    let start = days(year, month, day);
    if date.as_bytes().get(4) != Some(&b'-') || date.as_bytes().get(7) != Some(&b'-') || civil(start) != (year, month, day) {
        return None;
    }
    let time = time.strip_prefix(['T', ' '])?;
    let clock_end = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, offset) = time.split_at_checked(clock_end)?;
    let mut parts = clock.splitn(3, ':');
    let (hours, minutes) = (number(parts.next()?)?, number(parts.next()?)?);
    let (seconds, fraction) = parts.next().unwrap_or("0").split_once('.').unwrap_or((clock.rsplit(':').next()?, ""));
    let seconds = if clock.matches(':').count() < 2 { 0 } else { number(seconds)? };
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let offset = match offset {
        "" | "Z" => 0,
        _ => {
            let (sign, clock) = offset.split_at_checked(1)?;
            let (hours, minutes) = clock.split_once(':').unwrap_or(clock.split_at_checked(2)?);
            let minutes = number(hours)? * 60 + number(if minutes.is_empty() { "0" } else { minutes })?;
            minutes * if sign == "-" { -60_000 } else { 60_000 }
        }
    };
    let of_day = (hours * 3_600 + minutes * 60 + seconds) * 1_000 + number(&fraction)?;
    Some(start * DAY + of_day - offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_itself_again() {
        let mut text = String::new();
        for day in (-719_528..2_932_896).step_by(37) {
            let ms = day * DAY + 86_399_999 - day.rem_euclid(1_000);
            assert!(date_text(ms, false, &mut text), "{day}");
            assert_eq!(read_date(&text), Some(ms), "{text}");
            assert!(date_text(ms, true, &mut text));
            assert_eq!(read_date(&text), Some(day * DAY), "{text}");
        }
        assert!(!date_text(2_932_897 * DAY, true, &mut text) && !date_text(-719_529 * DAY, true, &mut text));
        assert!(!date_text(i64::MAX, false, &mut text) && !date_text(i64::MIN, false, &mut text));
    }

    #[test]
    fn other_spellings_are_read_and_what_is_no_date_is_not() {
        for (text, ms) in [
            ("1970-01-02", 86_400_000),
            ("1970-01-01T01:00", 3_600_000),
            ("1970-01-01 00:00:01", 1_000),
            ("1970-01-01T00:00:00.5Z", 500),
            ("1970-01-01T00:00:00.123456-01:30", 5_400_123),
            ("1970-01-01T02:00:00+0200", 0),
        ] {
            assert_eq!(read_date(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "1970",
            "1970-13-01",
            "1970-1-01",
            "1970-01-01T25:00",
            "1970-01-01x",
            "+970-01-01",
            "1970-01-01T-1:00",
            "äöüäöüäö",
        ] {
            assert_eq!(read_date(text), None, "{text}");
        }
    }
}
