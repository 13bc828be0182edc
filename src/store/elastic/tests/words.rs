//! Words of texts are split as the engines split them.

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use super::engines::on_each_engine;
use crate::{
    event::Stream,
    query::words::words,
    store::{EventSink, elastic::ElasticStore},
};

/// Texts for each rule of the analyzer.
const ODD: [&str; 24] = [
    "Rule executed: Payroll Export #42 (user@example.com, 10.0.0.1) in 3.14 s — it's done",
    "a.b.c a:b a: b 1,000;5 x_y __ _z 'q' \"q\" don’t O'Neil's",
    "/var/log/annals-1.log C:\\Windows\\System32 https://example.com/a?b=c#d",
    "İSTANBUL Straße ẞ ΣΊΣΥΦΟΣ ǅ ﬁ Ⅷ ⓐ K Å",
    "漢字かなカタカナ한국어 ｶﾀｶﾅ １２３ａｂ 々〆 ゟヿ",
    "การที่ได้ต้อง ພາສາລາວ မြန်မာ ភាសាខ្មែរ",
    "צה\"ל ג' א\"ב\"ג שָׁלוֹם",
    "العربية ١٢٣ हिन्दी १२३ தமிழ்",
    "👍🏽 👩‍👩‍👧 🇫🇮🇸🇪🇩 1️⃣ #️⃣ *⃣ 1⃣ ❤️ ☝🏿 ©️ © ™ 〰 〰️",
    "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} x\u{e0041}y",
    "e\u{301}\u{301} \u{301}a a\u{ad}b a\u{200b}b a\u{200d}b a\u{feff}b a\u{2060}b",
    "𝐀𝟏 𐐀𐐨 𠀀𪚥 🀄🃏",
    "カ_カ カー ーカ カa a漢b 1漢2 漢'字 あ'い",
    "1.2.3 1..2 1,,2 .5 5. -5 +5 1e10 0x1F 1'000 a1.b2 1.a a.1",
    "\u{0}\u{1}\u{7f}\u{85}a\u{a0}b\u{2028}c\r\nd\te",
    "\u{fffd}\u{fffe}\u{10ffff} \u{e000}a\u{f8ff}",
    "·a·b· a‧b a․b a﹕b a：b 1٫2 1٬2 a־b",
    "각 각 ㄱ ㅏ",
    "Ꭰꭰ ᲐᲘ აი Ა",
    "½ ² ³ ₂ ⁿ ª º µ",
    "__proto__ $HOME %s ${x} <b>bold</b> {\"k\":\"v\"}",
    "",
    " ",
    "!!! --- ...",
];

async fn engine_words(store: &ElasticStore, text: &str) -> Vec<String> {
    let body = json!({"analyzer": "standard", "text": text}).to_string();
    let answer: Value = store.client.post("_analyze", body).await.unwrap().json().unwrap();
    let tokens = answer["tokens"].as_array().unwrap_or_else(|| panic!("{answer}"));
    // At consecutive positions, so that phrases are consecutive words.
    for (place, token) in (0_u64..).zip(tokens) {
        assert_eq!(token["position"].as_u64(), Some(place), "{text:?}");
    }
    tokens.iter().map(|token| token["token"].as_str().unwrap().to_owned()).collect()
}

/// Texts that begin anywhere in Unicode, and texts of characters with special rules.
fn texts() -> Vec<String> {
    let special: Vec<char> = ODD.concat().chars().collect();
    let special = proptest::sample::select(special);
    let any = prop_oneof![
        proptest::collection::vec(any::<char>(), 0..40),
        proptest::collection::vec(special.clone(), 0..40),
        (special.clone(), special, 200..700_usize)
            .prop_map(|(one, other, length)| { (0..length).map(|at| if at % 7 == 3 { other } else { one }).collect() }),
    ];
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRunner::default().new_rng());
    (0..1000).map(|_| any.new_tree(&mut runner).unwrap().current().into_iter().collect()).collect()
}

#[tokio::test]
async fn words_are_those_that_the_engines_index() {
    on_each_engine(async |store| {
        store.setup(&[Stream::general()]).await.unwrap();
        let long = ["a".repeat(255), "a".repeat(256), "é_".repeat(400), "𐐨".repeat(300), "가".repeat(600)];
        for text in ODD.map(str::to_owned).into_iter().chain(long).chain(texts()) {
            assert_eq!(words(&text).collect::<Vec<_>>(), engine_words(store, &text).await, "{}", text.escape_unicode());
        }
    })
    .await;
}
