//! Every limit of the HTTP side, with its unit.

use std::time::Duration;

/// Body of a POST: a pipeline folder fits with room to spare.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Bytes of a key, value or header that are shown.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 10;
/// Records of a topic in one answer.
pub const RECORDS_MAX: usize = 500;
/// Rows of a view in one answer.
pub const ROWS_MAX: usize = 10_000;
/// Dead letters in one answer.
pub const DEAD_LETTERS_MAX: usize = 500;
/// Server-sent event streams open at once, all kinds together.
pub const STREAMS_MAX: usize = 64;
/// Changes of a view in one event; what is more makes the page read the rows anew.
pub const CHANGES_PER_EVENT_MAX: usize = 1_000;
/// Changes of a view are gathered this long into one event.
pub const CHANGES_PAUSE: Duration = Duration::from_millis(250);
/// Events that wait for a slow reader of a stream before it is dropped.
pub const EVENTS_WAITING_MAX: usize = 8;
/// How long one event may wait for room towards a slow reader.
pub const SLOW_READER_PAUSE: Duration = Duration::from_secs(10);
/// Pause between overviews of the live stream.
pub const LIVE_PAUSE: Duration = Duration::from_secs(1);
/// Comment lines that keep a silent stream from being closed on its way.
pub const KEEP_ALIVE_PAUSE: Duration = Duration::from_secs(15);
/// Seconds of throughput and lag that are kept for charts.
pub const HISTORY_SAMPLES: usize = 300;
