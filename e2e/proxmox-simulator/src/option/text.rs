//! Checks of single options: the daemon's words for what it does not take.

use rand::Rng;

use super::drive::Properties;

/// Models of network cards that are accepted.
const MODELS: [&str; 5] = ["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"];
/// What the first half of new hardware addresses is.
const VENDOR: &str = "BC:24:11";

/// Brings the value of an option into the form in which it is kept, or says what is wrong with it.
pub(crate) fn normalize(key: &str, value: &str, random: &mut impl Rng) -> Result<String, String> {
    let family = key.trim_end_matches(|letter: char| letter.is_ascii_digit());
    match family {
        "net" => network_card(key, value, random),
        "ipconfig" => ip_config(key, value),
        "tags" => tags(value),
        "sshkeys" => ssh_keys(value),
        "memory" => memory(value),
        _ => Ok(value.to_owned()),
    }
}

fn network_card(key: &str, value: &str, random: &mut impl Rng) -> Result<String, String> {
    let mut card = Properties::parse(value);
    if let Some(model) = card.first.take() {
        if !MODELS.contains(&model.as_str()) {
            return Err(format!("invalid format - format error\n{key}.model: no such model"));
        }
        card.pairs.insert(0, (model, String::new()));
    }
    let named = card.pairs.iter().position(|(name, _)| MODELS.contains(&name.as_str()));
    if named.is_none()
        && let Some(model) = card.get("model").map(str::to_owned)
    {
        let address = card.get("macaddr").unwrap_or_default().to_owned();
        card.pairs.retain(|(name, _)| name != "model" && name != "macaddr");
        card.pairs.insert(0, (model, address));
    }
    let Some((name, address)) =
        card.pairs.first_mut().filter(|(name, _)| MODELS.contains(&name.as_str()))
    else {
        let text = "property is missing and it is not optional";
        return Err(format!("invalid format - format error\n{key}.model: {text}"));
    };
    if address.is_empty() {
        *address = new_mac(random);
    } else if !is_mac(address) {
        let text = "value does not look like a valid unicast MAC address";
        return Err(format!("invalid format - format error\n{key}.{name}: {text}"));
    }
    *address = address.to_uppercase();
    Ok(card.to_string())
}

/// A hardware address as the daemon makes them.
pub(crate) fn new_mac(random: &mut impl Rng) -> String {
    let [a, b, c]: [u8; 3] = random.random();
    format!("{VENDOR}:{a:02X}:{b:02X}:{c:02X}")
}

/// The hardware address of a network card.
pub(crate) fn mac(card: &str) -> Option<String> {
    let card = Properties::parse(card);
    card.pairs.into_iter().find(|(name, _)| MODELS.contains(&name.as_str())).map(|(_, mac)| mac)
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 6
        && parts.iter().all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok())
}

fn ip_config(key: &str, value: &str) -> Result<String, String> {
    let config = Properties::parse(value);
    let wrong = |name: &str, text: &str| {
        Err(format!("invalid format - format error\n{key}.{name}: {text}"))
    };
    if let Some(first) = &config.first {
        return wrong(first, "value without key, but schema does not define a default key");
    }
    for (name, value) in &config.pairs {
        let address = value.split_once('/').map_or(value.as_str(), |(address, _)| address);
        let is_address = address.parse::<std::net::IpAddr>().is_ok();
        let is_good = match name.as_str() {
            "ip" => value == "dhcp" || (is_address && value.contains('/')),
            "ip6" => {
                ["dhcp", "auto"].contains(&value.as_str()) || (is_address && value.contains('/'))
            }
            "gw" | "gw6" => is_address,
            _ => return wrong(name, "property is not defined in schema"),
        };
        if !is_good {
            return wrong(name, "invalid format - value does not look like a valid address");
        }
    }
    if config.get("gw").is_some() && config.get("ip").is_none() {
        return wrong("gw", "missing property - 'gw' requires this property: ip");
    }
    Ok(value.to_owned())
}

/// Sorted and without repetition, whatever stood between them.
fn tags(value: &str) -> Result<String, String> {
    let mut tags: Vec<String> = Vec::new();
    for tag in value.split([';', ',', ' ']).filter(|tag| !tag.is_empty()) {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_-+.".contains(letter);
        let begins_well =
            tag.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
        if !begins_well || !tag.chars().all(is_letter) {
            return Err("invalid format - invalid characters in tag".into());
        }
        tags.push(tag.to_lowercase());
    }
    tags.sort();
    tags.dedup();
    Ok(tags.join(";"))
}

/// Percent-encoded a second time, below the encoding of the form.
fn ssh_keys(value: &str) -> Result<String, String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-%_.!~*'()".contains(letter);
    if value.chars().all(is_plain) {
        Ok(value.to_owned())
    } else {
        Err("invalid format - invalid urlencoded string".into())
    }
}

fn memory(value: &str) -> Result<String, String> {
    let text = value.strip_prefix("current=").unwrap_or(value);
    match text.parse::<u64>() {
        Ok(number) if number >= 16 => Ok(text.to_owned()),
        Ok(_) => Err("value must have a minimum value of 16".into()),
        Err(_) => Err(format!("type check ('integer') failed - got '{value}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn normal(key: &str, value: &str) -> Result<String, String> {
        normalize(key, value, &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn tags_are_sorted_and_come_once() {
        assert_eq!(normal("tags", "b,a c;a").as_deref(), Ok("a;b;c"));
        assert!(normal("tags", "a=b").is_err());
    }

    #[test]
    fn keys_must_be_encoded_twice() {
        assert!(normal("sshkeys", "ssh-ed25519 AAAA").expect_err("is raw").contains("urlencoded"));
        assert!(normal("sshkeys", "ssh-ed25519+AAAA").is_err());
        assert!(normal("sshkeys", "ssh-ed25519%20AAAA").is_ok());
    }

    #[test]
    fn a_network_card_gets_an_address_of_its_own() {
        let card = normal("net0", "virtio,bridge=vmbr0").expect("is good");
        let mac = mac(&card).expect("has one");
        assert_eq!(card, format!("virtio={mac},bridge=vmbr0"));
        assert!(mac.starts_with("BC:24:11:"));
        assert_eq!(
            normal("net0", "model=virtio,macaddr=bc:24:11:00:00:01,bridge=vmbr0").as_deref(),
            Ok("virtio=BC:24:11:00:00:01,bridge=vmbr0")
        );
        assert!(normal("net0", "bridge=vmbr0").expect_err("no model").contains("net0.model"));
    }

    #[test]
    fn an_address_needs_its_prefix_and_a_gateway_needs_an_address() {
        assert!(normal("ipconfig0", "ip=10.0.0.5/24,gw=10.0.0.1").is_ok());
        assert!(normal("ipconfig0", "ip=dhcp,ip6=auto").is_ok());
        for wrong in ["ip", "ip=10.0.0.5", "gw=10.0.0.1", "ip=x/24", "other=1"] {
            assert!(normal("ipconfig0", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn memory_is_kept_as_a_number() {
        assert_eq!(normal("memory", "current=4096").as_deref(), Ok("4096"));
        assert!(normal("memory", "8").is_err());
        assert!(normal("memory", "lots").is_err());
    }
}
