//! Dates, times and intervals.

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use super::civil::{Civil, DAY_US, SECOND_US, checked};
use super::kit::T::{Bool, Date, Float8, Int4, Int8, Interval, Text, Ts, Tstz};
use super::kit::{A, Answer, Def, O, def, over};
use super::zone::zone;

pub(super) const FUNCTIONS: &[Def] = &[
    Def {
        name: "date_part",
        aliases: &["datepart"],
        overloads: &[
            over(&[Text, Tstz], Float8, |a| {
                part(a[0].text(), a[1].int(), Kind::Instant)
            }),
            over(&[Text, Ts], Float8, |a| {
                part(a[0].text(), a[1].int(), Kind::Time)
            }),
            over(&[Text, Date], Float8, |a| {
                part(a[0].text(), a[1].int() * DAY_US, Kind::Date)
            }),
            over(&[Text, Interval], Float8, |a| {
                interval_part(a[0].text(), a[1].interval())
            }),
        ],
    },
    Def {
        name: "date_trunc",
        aliases: &["datetrunc"],
        overloads: &[
            over(&[Text, Tstz], Tstz, |a| {
                trunc(a[0].text(), a[1].int()).map(O::Time)
            }),
            over(&[Text, Ts], Ts, |a| {
                trunc(a[0].text(), a[1].int()).map(O::Time)
            }),
            over(&[Text, Tstz, Text], Tstz, |a| {
                let zone = zone(a[2].text())?;
                Ok(O::Time(
                    zone.utc(trunc(a[0].text(), zone.local(a[1].int()))?),
                ))
            }),
            over(&[Text, Interval], Interval, |a| {
                trunc_interval(a[0].text(), a[1].interval())
            }),
        ],
    },
    def(
        "timezone",
        &[
            over(&[Text, Tstz], Ts, |a| {
                Ok(O::Time(zone(a[0].text())?.local(a[1].int())))
            }),
            over(&[Text, Ts], Tstz, |a| {
                Ok(O::Time(zone(a[0].text())?.utc(a[1].int())))
            }),
            over(&[Interval, Tstz], Ts, |a| {
                Ok(O::Time(a[1].int().saturating_add(offset(&a[0]))))
            }),
            over(&[Interval, Ts], Tstz, |a| {
                Ok(O::Time(a[1].int().saturating_sub(offset(&a[0]))))
            }),
        ],
    ),
    def(
        "age",
        &[
            over(&[Ts, Ts], Interval, |a| Ok(age(a[0].int(), a[1].int()))),
            over(&[Tstz, Tstz], Interval, |a| Ok(age(a[0].int(), a[1].int()))),
        ],
    ),
    def(
        "date_bin",
        &[
            over(&[Interval, Ts, Ts], Ts, bin),
            over(&[Interval, Tstz, Tstz], Tstz, bin),
            over(&[Interval, Ts], Ts, bin),
            over(&[Interval, Tstz], Tstz, bin),
        ],
    ),
    def(
        "make_date",
        &[over(&[Int8, Int8, Int8], Date, |a| {
            match checked(a[0].int(), a[1].int(), a[2].int(), 0, 0, 0) {
                Some(micros) => Ok(O::Date((micros / DAY_US) as i32)),
                None => Err("date field value out of range".to_owned()),
            }
        })],
    ),
    def(
        "make_timestamp",
        &[over(&[Int8, Int8, Int8, Int8, Int8, Float8], Ts, |a| {
            Ok(O::Time(made(a)?))
        })],
    ),
    def(
        "make_timestamptz",
        &[
            over(&[Int8, Int8, Int8, Int8, Int8, Float8], Tstz, |a| {
                Ok(O::Time(made(a)?))
            }),
            over(&[Int8, Int8, Int8, Int8, Int8, Float8, Text], Tstz, |a| {
                Ok(O::Time(zone(a[6].text())?.utc(made(a)?)))
            }),
        ],
    ),
    def(
        "make_interval",
        &[over(
            &[Int8, Int8, Int8, Int8, Int8, Int8, Float8],
            Interval,
            make_interval,
        )],
    ),
    def(
        "isfinite",
        &[
            over(&[Tstz], Bool, |_| Ok(O::Bool(true))),
            over(&[Interval], Bool, |_| Ok(O::Bool(true))),
        ],
    ),
    def(
        "justify_days",
        &[over(&[Interval], Interval, |a| {
            Ok(O::Interval(justified(a[0].interval(), true, false)))
        })],
    ),
    def(
        "justify_hours",
        &[over(&[Interval], Interval, |a| {
            Ok(O::Interval(justified(a[0].interval(), false, true)))
        })],
    ),
    def(
        "justify_interval",
        &[over(&[Interval], Interval, |a| {
            Ok(O::Interval(justified(a[0].interval(), true, true)))
        })],
    ),
    def(
        "interval_scale",
        &[over(&[Interval, Float8], Interval, |a| {
            scaled(a[0].interval(), a[1].float())
        })],
    ),
    def(
        "interval_divide",
        &[over(&[Interval, Float8], Interval, |a| {
            match a[1].float() {
                0.0 => Err("division by zero".to_owned()),
                v => scaled(a[0].interval(), 1.0 / v),
            }
        })],
    ),
    def(
        "date_plus_days",
        &[over(&[Date, Int8], Date, |a| {
            plus_days(a[0].int(), a[1].int())
        })],
    ),
    def(
        "date_minus_days",
        &[over(&[Date, Int8], Date, |a| {
            plus_days(a[0].int(), a[1].int().saturating_neg())
        })],
    ),
    def(
        "date_minus_date",
        &[over(&[Date, Date], Int4, |a| {
            Ok(O::Int(a[0].int() - a[1].int()))
        })],
    ),
    def(
        "time_minus_time",
        &[
            over(&[Ts, Ts], Interval, |a| between(a[0].int(), a[1].int())),
            over(&[Tstz, Tstz], Interval, |a| between(a[0].int(), a[1].int())),
        ],
    ),
    def(
        "to_timestamp",
        &[
            over(&[Float8], Tstz, |a| match a[0].float() {
                v if v.is_finite() && v.abs() < 9.2e12 => Ok(O::Time((v * 1e6).round() as i64)),
                _ => Err("timestamp out of range".to_owned()),
            }),
            over(&[Text, Text], Tstz, |a| {
                super::pattern::parse(a[0].text(), a[1].text()).map(O::Time)
            }),
            over(&[Text], Tstz, |a| {
                super::pattern::instant(a[0].text()).map(O::Time)
            }),
            over(&[Tstz], Tstz, |a| Ok(O::Time(a[0].int()))),
        ],
    ),
    def(
        "to_date",
        &[
            over(&[Text, Text], Date, |a| {
                let micros = super::pattern::parse(a[0].text(), a[1].text())?;
                Ok(O::Date(micros.div_euclid(DAY_US) as i32))
            }),
            over(&[Text], Date, |a| {
                let micros = super::pattern::instant(a[0].text())?;
                Ok(O::Date(micros.div_euclid(DAY_US) as i32))
            }),
        ],
    ),
    def(
        "to_char",
        &[
            over(&[Tstz, Text], Text, |a| {
                super::pattern::time(a[0].int(), a[1].text(), true)
            }),
            over(&[Ts, Text], Text, |a| {
                super::pattern::time(a[0].int(), a[1].text(), false)
            }),
            over(&[Date, Text], Text, |a| {
                super::pattern::time(a[0].int() * DAY_US, a[1].text(), false)
            }),
            over(&[Interval, Text], Text, |a| {
                super::pattern::interval(a[0].interval(), a[1].text())
            }),
            over(&[super::kit::T::Numeric, Text], Text, |a| {
                super::numeric::to_char(&a[0], a[1].text())
            }),
            over(&[Float8, Text], Text, |a| {
                super::numeric::to_char(&a[0], a[1].text())
            }),
        ],
    ),
];

fn plus_days(date: i64, days: i64) -> Answer {
    let sum = date.checked_add(days).and_then(|d| i32::try_from(d).ok());
    sum.map(O::Date)
        .ok_or_else(|| "date out of range".to_owned())
}

/// Whole days and what is left, as PostgreSQL subtracts times.
fn between(later: i64, earlier: i64) -> Answer {
    let micros = later.checked_sub(earlier).ok_or("interval out of range")?;
    let days = i32::try_from(micros / DAY_US).map_err(|_| "interval out of range")?;
    Ok(O::Interval(IntervalMonthDayNano::new(
        0,
        days,
        micros % DAY_US * 1_000,
    )))
}

fn offset(interval: &A<'_>) -> i64 {
    interval.interval().nanoseconds / 1_000
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Instant,
    Time,
    Date,
}

fn unit(name: &str) -> String {
    let name = name.trim().to_lowercase();
    let singular = match name.as_str() {
        "century" | "centuries" | "c" => "century",
        "millennium" | "millennia" | "mil" => "millennium",
        "decades" => "decade",
        "years" | "y" | "yr" => "year",
        "mon" | "mons" | "months" => "month",
        "quarters" | "qtr" => "quarter",
        "weeks" | "w" => "week",
        "days" | "d" => "day",
        "hours" | "h" | "hr" => "hour",
        "minutes" | "min" | "mins" | "m" => "minute",
        "seconds" | "sec" | "s" => "second",
        "millisecond" | "ms" | "msec" => "milliseconds",
        "microsecond" | "us" | "usec" => "microseconds",
        other => other,
    };
    singular.to_owned()
}

/// The years of a century (100) or millennium (1,000) count from 1.
fn era(year: i64, length: i64) -> i64 {
    if year > 0 {
        (year + length - 1) / length
    } else {
        year.div_euclid(length)
    }
}

fn part(field: &str, micros: i64, kind: Kind) -> Answer {
    let civil = Civil::of_micros(micros);
    let name = unit(field);
    let of_day = matches!(
        name.as_str(),
        "hour"
            | "minute"
            | "second"
            | "milliseconds"
            | "microseconds"
            | "timezone"
            | "timezone_hour"
            | "timezone_minute"
    );
    if of_day && kind == Kind::Date {
        return Err(format!("unit \"{field}\" not supported for type date"));
    }
    let whole = |value: i64| Ok(O::Float(value as f64));
    match name.as_str() {
        "microseconds" => whole(civil.second_us()),
        "milliseconds" => Ok(O::Float(civil.second_us() as f64 / 1e3)),
        "second" => Ok(O::Float(civil.second_us() as f64 / 1e6)),
        "minute" => whole(civil.minute()),
        "hour" => whole(civil.hour()),
        "day" => whole(civil.day),
        "month" => whole(civil.month),
        "quarter" => whole((civil.month - 1) / 3 + 1),
        "year" => whole(if civil.year > 0 {
            civil.year
        } else {
            civil.year - 1
        }),
        "decade" => whole(civil.year.div_euclid(10)),
        "century" => whole(era(civil.year, 100)),
        "millennium" => whole(era(civil.year, 1_000)),
        "dow" => whole(civil.weekday()),
        "isodow" => whole((civil.weekday() + 6) % 7 + 1),
        "doy" => whole(civil.day_of_year()),
        "week" => whole(civil.iso_week().1),
        "isoyear" => whole(civil.iso_week().0),
        "julian" => Ok(O::Float(
            (civil.days() + 2_440_588) as f64 + civil.of_day as f64 / DAY_US as f64,
        )),
        "epoch" => Ok(O::Float(micros as f64 / 1e6)),
        "timezone" | "timezone_hour" | "timezone_minute" if kind == Kind::Instant => whole(0),
        _ => Err(format!("unit \"{field}\" not recognized")),
    }
}

fn interval_part(field: &str, i: IntervalMonthDayNano) -> Answer {
    let micros = i.nanoseconds / 1_000;
    let (years, months) = (i64::from(i.months) / 12, i64::from(i.months) % 12);
    let of_minute = micros % (60 * SECOND_US);
    Ok(O::Float(match unit(field).as_str() {
        "microseconds" => of_minute as f64,
        "milliseconds" => of_minute as f64 / 1e3,
        "second" => of_minute as f64 / 1e6,
        "minute" => (micros / (60 * SECOND_US) % 60) as f64,
        "hour" => (micros / (3600 * SECOND_US)) as f64,
        "day" => f64::from(i.days),
        "month" => months as f64,
        "quarter" => (months / 3 + 1) as f64,
        "year" => years as f64,
        "decade" => (years / 10) as f64,
        "century" => (years / 100) as f64,
        "millennium" => (years / 1_000) as f64,
        "epoch" => {
            let days = years as f64 * 365.25 + months as f64 * 30.0 + f64::from(i.days);
            days * 86_400.0 + micros as f64 / 1e6
        }
        _ => return Err(format!("unit \"{field}\" not recognized for an interval")),
    }))
}

fn trunc(field: &str, micros: i64) -> Result<i64, String> {
    let civil = Civil::of_micros(micros);
    let start = |year: i64, month: i64| super::civil::days(year, month, 1) * DAY_US;
    let floor = |length: i64| micros - micros.rem_euclid(length);
    Ok(match unit(field).as_str() {
        "microseconds" => micros,
        "milliseconds" => floor(1_000),
        "second" => floor(SECOND_US),
        "minute" => floor(60 * SECOND_US),
        "hour" => floor(3_600 * SECOND_US),
        "day" => floor(DAY_US),
        "week" => (civil.days() - (civil.days() + 3).rem_euclid(7)) * DAY_US,
        "month" => start(civil.year, civil.month),
        "quarter" => start(civil.year, (civil.month - 1) / 3 * 3 + 1),
        "year" => start(civil.year, 1),
        "decade" => start(civil.year.div_euclid(10) * 10, 1),
        "century" => start((era(civil.year, 100) - 1) * 100 + 1, 1),
        "millennium" => start((era(civil.year, 1_000) - 1) * 1_000 + 1, 1),
        _ => return Err(format!("unit \"{field}\" not recognized")),
    })
}

fn trunc_interval(field: &str, i: IntervalMonthDayNano) -> Answer {
    let cut = |length_us: i64| i.nanoseconds - i.nanoseconds % (length_us * 1_000);
    let of = |months, days, nanos| Ok(O::Interval(IntervalMonthDayNano::new(months, days, nanos)));
    match unit(field).as_str() {
        "microseconds" => of(i.months, i.days, cut(1)),
        "milliseconds" => of(i.months, i.days, cut(1_000)),
        "second" => of(i.months, i.days, cut(SECOND_US)),
        "minute" => of(i.months, i.days, cut(60 * SECOND_US)),
        "hour" => of(i.months, i.days, cut(3_600 * SECOND_US)),
        "day" => of(i.months, i.days, 0),
        "month" => of(i.months, 0, 0),
        "quarter" => of(i.months / 3 * 3, 0, 0),
        "year" => of(i.months / 12 * 12, 0, 0),
        "decade" => of(i.months / 120 * 120, 0, 0),
        "century" => of(i.months / 1_200 * 1_200, 0, 0),
        _ => Err(format!("unit \"{field}\" not supported for an interval")),
    }
}

/// Years, months and days from one time to the other, and what is left of a day.
fn age(later: i64, earlier: i64) -> O {
    let sign = if later < earlier { -1 } else { 1 };
    let (from, to) = if sign > 0 {
        (earlier, later)
    } else {
        (later, earlier)
    };
    let (a, b) = (Civil::of_micros(from), Civil::of_micros(to));
    let (mut of_day, mut days) = (b.of_day - a.of_day, b.day - a.day);
    let mut months = (b.year - a.year) * 12 + b.month - a.month;
    if of_day < 0 {
        of_day += DAY_US;
        days -= 1;
    }
    if days < 0 {
        // PostgreSQL borrows the length of the month in which the earlier time lies, or the later one's if it was turned around.
        let month = if sign > 0 {
            (a.year, a.month)
        } else {
            (b.year, b.month)
        };
        days += super::civil::days_in_month(month.0, month.1);
        months -= 1;
    }
    let number = |v: i64| (v * sign) as i32;
    O::Interval(IntervalMonthDayNano::new(
        number(months),
        number(days),
        of_day * 1_000 * sign,
    ))
}

fn bin(a: &[A<'_>]) -> Answer {
    let stride = a[0].interval();
    if stride.months != 0 {
        return Err(
            "timestamps cannot be binned into intervals containing months or years".to_owned(),
        );
    }
    let stride = i64::from(stride.days) * DAY_US + stride.nanoseconds / 1_000;
    if stride <= 0 {
        return Err("stride must be greater than zero".to_owned());
    }
    let origin = a.get(2).map_or(0, A::int);
    let micros = a[1].int();
    Ok(O::Time(
        micros - (micros.wrapping_sub(origin)).rem_euclid(stride),
    ))
}

fn made(a: &[A<'_>]) -> Result<i64, String> {
    let second_us = (a[5].float() * 1e6).round() as i64;
    let made = checked(
        a[0].int(),
        a[1].int(),
        a[2].int(),
        a[3].int(),
        a[4].int(),
        second_us,
    );
    made.ok_or_else(|| "date or time field value out of range".to_owned())
}

fn make_interval(a: &[A<'_>]) -> Answer {
    let fits = || {
        let months = a[0].int().checked_mul(12)?.checked_add(a[1].int())?;
        let days = a[2].int().checked_mul(7)?.checked_add(a[3].int())?;
        let minutes = a[4].int().checked_mul(60)?.checked_add(a[5].int())?;
        let nanos = minutes.checked_mul(60_000_000_000)?;
        let nanos = nanos.checked_add(((a[6].float() * 1e6).round() as i64).checked_mul(1_000)?)?;
        Some(IntervalMonthDayNano::new(
            i32::try_from(months).ok()?,
            i32::try_from(days).ok()?,
            nanos,
        ))
    };
    fits()
        .map(O::Interval)
        .ok_or_else(|| "interval out of range".to_owned())
}

const DAY_NS: i64 = DAY_US * 1_000;

fn justified(i: IntervalMonthDayNano, by_days: bool, by_hours: bool) -> IntervalMonthDayNano {
    let (mut months, mut days) = (i64::from(i.months), i64::from(i.days));
    let mut nanos = i.nanoseconds;
    if by_hours {
        days += nanos / DAY_NS;
        nanos %= DAY_NS;
    }
    if by_days {
        months += days / 30;
        days %= 30;
    }
    if by_days {
        // Months and days get one sign; hours count for it only where they are asked about.
        let hours = if by_hours { nanos } else { 0 };
        if months > 0 && (days < 0 || (days == 0 && hours < 0)) {
            days += 30;
            months -= 1;
        } else if months < 0 && (days > 0 || (days == 0 && hours > 0)) {
            days -= 30;
            months += 1;
        }
    }
    if by_hours {
        if days > 0 && nanos < 0 {
            nanos += DAY_NS;
            days -= 1;
        } else if days < 0 && nanos > 0 {
            nanos -= DAY_NS;
            days += 1;
        }
    }
    IntervalMonthDayNano::new(months as i32, days as i32, nanos)
}

/// Fractions of months become days of 30 to a month, fractions of days become hours.
fn scaled(i: IntervalMonthDayNano, factor: f64) -> Answer {
    let months = f64::from(i.months) * factor;
    let days = f64::from(i.days) * factor + (months.fract() * 30.0 * 1e6).round() / 1e6;
    let micros = (i.nanoseconds / 1_000) as f64 * factor + (days.fract() * DAY_US as f64).round();
    let fits = months.abs() < 2e9 && days.abs() < 2e9 && micros.abs() < 9e15;
    if !fits {
        return Err("interval out of range".to_owned());
    }
    let nanos = micros.round() as i64 * 1_000;
    Ok(O::Interval(IntervalMonthDayNano::new(
        months.trunc() as i32,
        days.trunc() as i32,
        nanos,
    )))
}
