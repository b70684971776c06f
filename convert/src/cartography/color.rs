//! Colours: Esri's arrays, CSS text, the text of QGIS.

use serde_json::Value;

/// A colour with its alpha, 0 to 255 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rgba {
    /// Red.
    pub red: u8,
    /// Green.
    pub green: u8,
    /// Blue.
    pub blue: u8,
    /// 0 is transparent, 255 opaque.
    pub alpha: u8,
}

impl Rgba {
    /// The grey of symbols that say no colour.
    pub const GREY: Self = Self::new(128, 128, 128, 255);

    /// A colour of its four parts.
    pub const fn new(red: u8, green: u8, blue: u8, alpha: u8) -> Self {
        Self { red, green, blue, alpha }
    }

    /// Reads Esri's `[r, g, b, a]` with 0 to 255 each; a missing alpha is opaque.
    pub fn from_esri(value: &Value) -> Option<Self> {
        let parts = value.as_array().filter(|parts| parts.len() >= 3)?;
        let part = |at: usize| parts.get(at).map_or(Some(255), |value| value.as_f64().map(byte));
        Some(Self::new(part(0)?, part(1)?, part(2)?, part(3)?))
    }

    /// Reads `#rgb`, `#rrggbb`, `#rrggbbaa`, `rgb()`, `rgba()`, `hsl()`, `hsla()` and a few names.
    pub fn from_css(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if let Some(digits) = text.strip_prefix('#') {
            return from_hex(digits);
        }
        match text.as_str() {
            "black" => return Some(Self::new(0, 0, 0, 255)),
            "white" => return Some(Self::new(255, 255, 255, 255)),
            "transparent" => return Some(Self::new(0, 0, 0, 0)),
            _ => {}
        }
        let (name, rest) = text.split_once('(')?;
        let parts: Vec<&str> = rest.trim_end_matches(')').split([',', ' ', '/']).filter(|part| !part.is_empty()).collect();
        let number = |at: usize| parts.get(at)?.trim_end_matches(['%', 'd', 'e', 'g']).parse::<f64>().ok();
        let alpha = match parts.get(3) {
            None => 255,
            Some(part) if part.ends_with('%') => byte(number(3)? * 255.0 / 100.0),
            Some(_) => byte(number(3)? * 255.0),
        };
        match name {
            "rgb" | "rgba" => Some(Self::new(byte(number(0)?), byte(number(1)?), byte(number(2)?), alpha)),
            "hsl" | "hsla" => {
                let (lightness, saturation) = (number(2)? / 100.0, number(1)? / 100.0);
                let value = lightness + saturation * lightness.min(1.0 - lightness);
                let of_value = if value > 0.0 { 2.0 * (1.0 - lightness / value) } else { 0.0 };
                Some(Self::from_hsv(number(0)?, of_value, value, alpha))
            }
            _ => None,
        }
    }

    /// A colour by hue in degrees, saturation and value from 0 to 1.
    pub fn from_hsv(hue: f64, saturation: f64, value: f64, alpha: u8) -> Self {
        let part = |n: f64| {
            let k = (n + hue / 60.0).rem_euclid(6.0);
            byte(255.0 * (value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)))
        };
        Self::new(part(5.0), part(3.0), part(1.0), alpha)
    }

    /// The same colour, its alpha times an opacity from 0 to 1.
    #[must_use]
    pub fn with_opacity(self, opacity: f64) -> Self {
        Self { alpha: byte(f64::from(self.alpha) * opacity), ..self }
    }

    /// As CSS: `rgba(255,0,0,0.5)`.
    pub fn css(self) -> String {
        let alpha = (f64::from(self.alpha) / 255.0 * 1000.0).round() / 1000.0;
        format!("rgba({},{},{},{alpha})", self.red, self.green, self.blue)
    }

    /// As QGIS writes it: `255,0,0,128`.
    pub fn qgis(self) -> String {
        format!("{},{},{},{}", self.red, self.green, self.blue, self.alpha)
    }
}

fn byte(value: f64) -> u8 {
    // The cast holds: the value is within the range.
    value.round().clamp(0.0, 255.0) as u8
}

fn from_hex(digits: &str) -> Option<Rgba> {
    let whole = match digits.len() {
        3 | 4 if digits.is_ascii() => digits.chars().flat_map(|digit| [digit, digit]).collect(),
        6 | 8 if digits.is_ascii() => digits.to_owned(),
        _ => return None,
    };
    let part = |at: usize| whole.get(at..at + 2).map_or(Some(255), |two| u8::from_str_radix(two, 16).ok());
    Some(Rgba::new(part(0)?, part(2)?, part(4)?, part(6)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn esri_colours_have_an_alpha_of_255() {
        let color = Rgba::from_esri(&json!([115, 178, 255, 70])).expect("a color");
        assert_eq!(color.css(), "rgba(115,178,255,0.275)");
        assert_eq!(color.qgis(), "115,178,255,70");
        assert_eq!(Rgba::from_esri(&json!([1, 2, 3])), Some(Rgba::new(1, 2, 3, 255)));
        assert_eq!(Rgba::from_esri(&json!([1, 2])), None);
        assert_eq!(Rgba::from_esri(&Value::Null), None);
    }

    #[test]
    fn css_colours_are_read_in_every_form() {
        for (text, expected) in [
            ("#f00", (255, 0, 0, 255)),
            ("#00ff0080", (0, 255, 0, 128)),
            ("rgba(1, 2, 3, 0.5)", (1, 2, 3, 128)),
            ("hsl(120, 100%, 50%)", (0, 255, 0, 255)),
            ("hsla(0,0%,50%,.2)", (128, 128, 128, 51)),
            ("white", (255, 255, 255, 255)),
        ] {
            let (red, green, blue, alpha) = expected;
            assert_eq!(Rgba::from_css(text), Some(Rgba::new(red, green, blue, alpha)), "{text}");
        }
        assert_eq!(Rgba::from_css("#12"), None);
        assert_eq!(Rgba::from_css("chartreuse-ish"), None);
    }
}
