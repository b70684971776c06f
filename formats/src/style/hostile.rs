//! Styles that were written to take time, memory or the stack.

use super::{DEFAULT_FONT_STACK, MOST_NAMED, missing, needs};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Far more than any of these takes, and far less than they took when each pair of things was compared.
const SOON: Duration = Duration::from_secs(8);

fn soon<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    assert!(began.elapsed() < SOON, "{what} took {:?}", began.elapsed());
    done
}

fn text_layer(font: &Value) -> Value {
    json!({"layers": [{"id": "x", "type": "symbol", "layout": {"text-field": "{n}", "text-font": font}}]})
}

/// As deep as JSON is read: at each level a variable whose value uses the one before it, below as many operators as fit.
fn deepest() -> Value {
    let deep = |levels: usize, mut value: Value| {
        for _ in 0..levels {
            value = json!(["coalesce", value]);
        }
        value
    };
    let levels = 115;
    let mut font = json!(["var", format!("v{}", levels - 1)]);
    for level in (0..levels).rev() {
        let before = if level == 0 { json!(["literal", ["A"]]) } else { json!(["var", format!("v{}", level - 1)]) };
        font = json!(["let", format!("v{level}"), deep(levels - level, before), font]);
    }
    let style = text_layer(&font);
    // Deeper ones are refused by the reader.
    serde_json::from_str(&style.to_string()).expect("as deep as it may be")
}

#[test]
fn variables_in_the_deepest_style_that_is_read_do_not_end_the_stack() {
    // What a worker thread has.
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let found = thread.spawn(|| needs(&deepest()).fonts).expect("starts").join().expect("ends");
    assert_eq!(found, [["A".to_owned()]]);
}

#[test]
fn very_many_variables_sprites_and_fonts_take_no_long_time() {
    let bindings = (0..60_000).flat_map(|i| [json!(format!("v{i:05}")), json!(["literal", ["A"]])]);
    let uses = std::iter::once(json!("coalesce")).chain((0..60_000).map(|_| json!(["var", "v59999"])));
    let body = Value::Array(uses.collect());
    let all = std::iter::once(json!("let")).chain(bindings).chain([body]);
    let style = text_layer(&Value::Array(all.collect()));
    assert_eq!(soon("variables", || needs(&style)).fonts, [["A".to_owned()]]);

    let sprites: Vec<Value> = (0..60_000).map(|i| json!({"id": format!("s{i:05}"), "url": format!("u{i:05}")})).collect();
    assert_eq!(soon("sprites", || needs(&json!({"sprite": sprites}))).sprites.len(), 60_000);

    let layers = (0..20_000).map(|i| json!({"layout": {"text-field": "x", "text-font": [format!("F{i:05}")]}}));
    let style = json!({"glyphs": "../fonts/{fontstack}/{range}.pbf", "layers": layers.collect::<Vec<_>>()});
    let there: BTreeSet<String> = (0..256).map(|i| format!("fonts/F00000/{}.pbf", super::glyph_range(i))).collect();
    let found = soon("fonts", || missing(&style, "styles/root.json", &there));
    assert!(!found.iter().any(|what| what.to_string().contains("F00000")), "{found:?}");
}

#[test]
fn a_template_that_repeats_a_long_name_takes_no_memory() {
    let name = "n".repeat(100_000);
    let layers = json!([{"id": "x", "layout": {"text-field": "x", "text-font": [name]}},
        {"id": "y", "layout": {"text-field": "x"}}]);
    let style = json!({"glyphs": "{fontstack}".repeat(2000) + "{range}", "layers": layers});
    let found = soon("a template", || missing(&style, "styles/root.json", &BTreeSet::new()));
    assert_eq!(found.len(), 2, "{DEFAULT_FONT_STACK:?} and the other one");
}

#[test]
fn what_is_missing_is_named_up_to_a_number_and_counted_beyond() {
    let sprites: Vec<Value> = (0..1000).map(|i| json!({"id": format!("s{i}"), "url": "https://h/x"})).collect();
    let layers = (0..1000).map(|i| json!({"id": format!("l{i}"), "layout": {"text-field": "x", "text-font": ["get", "f"]}}));
    let style = json!({"sprite": sprites, "glyphs": "{fontstack}/{range}", "layers": layers.collect::<Vec<_>>()});
    let found = missing(&style, "styles/root.json", &BTreeSet::new());
    assert_eq!(found.len(), 2 * (MOST_NAMED + 1));
    let more: Vec<String> = found.iter().map(ToString::to_string).filter(|words| words.contains("980 more")).collect();
    assert_eq!(more, ["980 more sprites", "the fonts that 980 more layers take from the data"]);
}
