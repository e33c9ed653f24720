//! Dates and times of day of the proleptic Gregorian calendar, without a zone.

pub(crate) const DAY_US: i64 = 86_400_000_000;
pub(crate) const SECOND_US: i64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    /// Microseconds since midnight.
    pub of_day: i64,
}

impl Civil {
    pub fn of_micros(micros: i64) -> Self {
        let civil = Self::of_days(micros.div_euclid(DAY_US));
        Self {
            of_day: micros.rem_euclid(DAY_US),
            ..civil
        }
    }

    /// Howard Hinnant, "chrono-compatible date algorithms".
    pub fn of_days(days: i64) -> Self {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self {
            year: year + era * 400 + i64::from(month <= 2),
            month,
            day,
            of_day: 0,
        }
    }

    pub fn days(&self) -> i64 {
        days(self.year, self.month, self.day)
    }

    pub fn hour(&self) -> i64 {
        self.of_day / (3600 * SECOND_US)
    }

    pub fn minute(&self) -> i64 {
        self.of_day / (60 * SECOND_US) % 60
    }

    /// Of the minute, with its fraction, in microseconds.
    pub fn second_us(&self) -> i64 {
        self.of_day % (60 * SECOND_US)
    }

    /// 1 to 366.
    pub fn day_of_year(&self) -> i64 {
        self.days() - days(self.year, 1, 1) + 1
    }

    /// 0 is Sunday.
    pub fn weekday(&self) -> i64 {
        (self.days() + 4).rem_euclid(7)
    }

    /// ISO year and week.
    pub fn iso_week(&self) -> (i64, i64) {
        let monday = (self.days() + 3).rem_euclid(7);
        let thursday = Self::of_days(self.days() - monday + 3);
        (thursday.year, (thursday.day_of_year() - 1) / 7 + 1)
    }

    pub fn date(&self) -> String {
        match self.year {
            year if year > 0 => format!("{year:04}-{:02}-{:02}", self.month, self.day),
            year => format!("{:04}-{:02}-{:02} BC", 1 - year, self.month, self.day),
        }
    }

    /// `10:11:12.5`
    pub fn time(&self) -> String {
        let second = self.second_us();
        let whole = format!(
            "{:02}:{:02}:{:02}",
            self.hour(),
            self.minute(),
            second / SECOND_US
        );
        match second % SECOND_US {
            0 => whole,
            fraction => format!("{whole}.{fraction:06}")
                .trim_end_matches('0')
                .to_owned(),
        }
    }
}

pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year.rem_euclid(4) == 0
            && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) =>
        {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Microseconds since 1970 of a date and time that somebody wrote; `None` if there is no such time.
pub(crate) fn checked(
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second_us: i64,
) -> Option<i64> {
    let valid = (1..=12).contains(&month)
        && (-4713..=294_276).contains(&year)
        && (1..=days_in_month(year, month)).contains(&day)
        && (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60 * SECOND_US).contains(&second_us);
    let of_day = (hour * 3600 + minute * 60) * SECOND_US + second_us;
    (valid && of_day <= DAY_US).then(|| days(year, month, day) * DAY_US + of_day)
}
