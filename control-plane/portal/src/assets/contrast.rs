//! Whether the colours of the stylesheet can be told apart, computed from its tokens.
//!
//! Source: WCAG 2.2, 1.4.3 and 1.4.11, with its relative luminance; OKLCH to linear sRGB as in CSS Color 4.

use std::collections::BTreeMap;

/// Relative luminances of a token in light and in dark.
type Tokens = BTreeMap<&'static str, [f64; 2]>;

const TEXT: f64 = 4.5;
const MARK: f64 = 3.0;

fn tokens() -> Tokens {
    let css = include_str!("../../assets/app.css");
    let lines = css.lines().filter_map(|line| line.trim().strip_prefix("--"));
    let pairs = lines.filter_map(|line| {
        let (name, value) = line.split_once(": light-dark(oklch(")?;
        let (light, dark) = value.split_once("), oklch(")?;
        Some((name, [luminance(light)?, luminance(dark.split_once(')')?.0)?]))
    });
    pairs.collect()
}

/// Of `lightness chroma hue`.
fn luminance(oklch: &str) -> Option<f64> {
    let mut numbers = oklch.split(' ').map(|number| number.parse::<f64>().ok());
    let (lightness, chroma, hue) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let (a, b) = (chroma * hue.to_radians().cos(), chroma * hue.to_radians().sin());
    let cube = |x: f64, y: f64| (lightness + x * a + y * b).powi(3);
    let long = cube(0.396_337_777_4, 0.215_803_757_3);
    let middle = cube(-0.105_561_345_8, -0.063_854_172_8);
    let short = cube(-0.089_484_177_5, -1.291_485_548_0);
    let mix = |x: f64, y: f64, z: f64| (x * long + y * middle + z * short).clamp(0.0, 1.0);
    let red = mix(4.076_741_662_1, -3.307_711_591_3, 0.230_969_929_2);
    let green = mix(-1.268_438_004_6, 2.609_757_401_1, -0.341_319_396_5);
    let blue = mix(-0.004_196_086_3, -0.703_418_614_7, 1.707_614_701_0);
    Some(0.2126 * red + 0.7152 * green + 0.0722 * blue)
}

fn contrast(one: f64, other: f64) -> f64 {
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// What stands on what, and the least contrast between both.
fn pairs() -> Vec<(&'static str, String, f64)> {
    let states = ["ok", "busy", "warn", "bad", "info"];
    let mut pairs = Vec::new();
    for ground in ["bg", "surface", "raised", "sunken"] {
        for text in ["text", "muted", "accent"] {
            pairs.push((text, ground.to_owned(), TEXT));
        }
    }
    for ground in ["bg", "surface", "raised"] {
        pairs.push(("edge", ground.to_owned(), MARK));
        pairs.extend(states.map(|state| (state, ground.to_owned(), TEXT)));
    }
    for colour in ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"] {
        pairs.push((colour, "sunken".to_owned(), TEXT));
    }
    for state in states {
        pairs.push((state, format!("{state}-soft"), TEXT));
        pairs.push(("text", format!("{state}-soft"), TEXT));
    }
    pairs.push(("accent", "accent-soft".to_owned(), TEXT));
    pairs.push(("on-accent", "accent".to_owned(), TEXT));
    // The text of a button that destroys.
    pairs.push(("surface", "bad".to_owned(), TEXT));
    pairs
}

#[test]
fn colours_can_be_told_apart_in_light_and_in_dark() {
    let tokens = tokens();
    for (front, back, least) in pairs() {
        let (before, behind) = (tokens[front], tokens[back.as_str()]);
        for (theme, index) in [("light", 0), ("dark", 1)] {
            let found = contrast(before[index], behind[index]);
            assert!(found >= least, "{front} on {back} in {theme}: {found:.2} is below {least}");
        }
    }
}

#[test]
fn black_and_white_are_as_far_apart_as_can_be() {
    let (black, white) = (luminance("0 0 0").expect("black"), luminance("1 0 0").expect("white"));
    assert!((contrast(black, white) - 21.0).abs() < 0.01);
}
