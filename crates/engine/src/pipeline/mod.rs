//! One pipeline: what it is (`plan`), what arrives (`input`, `ahead`, `sharing`, `decoders`, `decode`, `watermark`, `table`, `tables`), its state and step (`core`, `flows`,
//! `conditions`), what leaves (`output`, `dead`, `net`, `appends`), its two threads (`run` with `seed`, `hold` and `housekeeping`, `publish`), and how it comes back (`record`,
//! `snapshot`, `spill`, `persist`, `recover`, `rebuilt`, `start`).

pub mod ahead;
pub mod appends;
pub mod conditions;
pub mod core;
pub mod dead;
pub mod decode;
pub mod decoders;
pub mod figures;
pub mod flows;
pub mod hold;
pub mod housekeeping;
pub mod input;
pub mod layout;
pub mod net;
pub mod output;
pub mod persist;
pub mod plan;
pub mod publish;
pub mod rebuilt;
pub mod record;
pub mod recover;
pub mod run;
pub mod seed;
pub mod shared;
pub mod sharing;
pub mod snapshot;
pub mod spill;
pub mod start;
pub mod table;
pub mod tables;
pub mod watermark;

use std::any::Any;

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "a defect of this program: {}",
        text.unwrap_or_else(|| "panic without a message".to_owned())
    )
}
