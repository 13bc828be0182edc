// Generated from mappings/ by scripts/generate. Do not edit.

use super::field::{Field, Kind, SetBy};

pub static FIELDS: [Field; 1] =
    [Field { path: "@timestamp", kind: Kind::Date, multi: false, set_by: SetBy::Client, max_bytes: 0 }];
