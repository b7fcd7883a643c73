//! JSON as it crosses the boundary: UTF-8, nested at most 256 deep.
#![allow(dead_code)]

/// No deeper than what the host takes.
const DEEPEST: usize = 256;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Boolean(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// `None` for what is no JSON.
    pub fn parse(text: &str) -> Option<Json> {
        let mut reader = Reader { text: text.as_bytes(), at: 0 };
        let value = reader.value(1)?;
        reader.blanks();
        (reader.at == reader.text.len()).then(|| value)
    }

    pub fn member(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Json::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn items(&self) -> Option<&[Json]> {
        match self {
            Json::List(items) => Some(items),
            _ => None,
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Option<u8> {
        self.blanks();
        self.text.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> Option<()> {
        self.blanks();
        let found = self.text[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found.then(|| ())
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > DEEPEST {
            return None;
        }
        match self.next()? {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' => Some(Json::Text(self.string()?)),
            b't' => self.take("true").map(|_| Json::Boolean(true)),
            b'f' => self.take("false").map(|_| Json::Boolean(false)),
            b'n' => self.take("null").map(|_| Json::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let mut members = Vec::new();
        self.take("{")?;
        if self.take("}").is_some() {
            return Some(Json::Object(members));
        }
        loop {
            self.blanks();
            let name = self.string()?;
            self.take(":")?;
            members.push((name, self.value(depth + 1)?));
            if self.take("}").is_some() {
                return Some(Json::Object(members));
            }
            self.take(",")?;
        }
    }

    fn list(&mut self, depth: usize) -> Option<Json> {
        let mut items = Vec::new();
        self.take("[")?;
        if self.take("]").is_some() {
            return Some(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take("]").is_some() {
                return Some(Json::List(items));
            }
            self.take(",")?;
        }
    }

    /// Rust reads more than JSON allows ("inf", "+1", ".5"): a number begins as JSON's do, and holds nothing else.
    fn number(&mut self) -> Option<Json> {
        let from = self.at;
        while matches!(self.text.get(self.at), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.text[from..self.at]).ok()?;
        let begins = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
        begins.then(|| ())?;
        text.parse().ok().map(Json::Number)
    }

    fn string(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        (self.text.get(self.at) == Some(&b'"')).then(|| ())?;
        self.at += 1;
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(bytes).ok(),
                b'\\' => {
                    let mut encoded = [0; 4];
                    bytes.extend_from_slice(self.escaped()?.encode_utf8(&mut encoded).as_bytes());
                }
                0..=0x1f => return None,
                _ => bytes.push(byte),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let letter = *self.text.get(self.at)?;
        self.at += 1;
        match letter {
            b'"' | b'\\' | b'/' => Some(letter as char),
            b'b' => Some('\u{8}'),
            b'f' => Some('\u{c}'),
            b'n' => Some('\n'),
            b'r' => Some('\r'),
            b't' => Some('\t'),
            b'u' => {
                let first = self.unit()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first);
                }
                self.text[self.at..].starts_with(b"\\u").then(|| ())?;
                self.at += 2;
                let second = self.unit()?.checked_sub(0xdc00)?;
                char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)
            }
            _ => None,
        }
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = std::str::from_utf8(self.text.get(self.at..self.at + 4)?).ok()?;
        self.at += 4;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| ())?;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind_are_read() {
        let value = Json::parse(r#" {"a": [1, -2.5e1, true, null], "b": "\u00e9\ud83d\ude00\n", "c": {}} "#).unwrap();
        let list = [Json::Number(1.0), Json::Number(-25.0), Json::Boolean(true), Json::Null];
        assert_eq!(value.member("a").unwrap().items().unwrap(), list);
        assert_eq!(value.member("b").unwrap().text(), Some("\u{e9}\u{1f600}\n"));
        assert_eq!(value.member("c"), Some(&Json::Object(Vec::new())));
        assert_eq!(value.member("d"), None);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "[1", "{\"a\"}", "{\"a\":1,}", "1 2", "\"a", "tru", "inf", "+1", ".5", "\"\\ud83d\"", "{a:1}"] {
            assert_eq!(Json::parse(text), None, "{}", text);
        }
        assert!(Json::parse(&("[".repeat(DEEPEST) + &"]".repeat(DEEPEST))).is_some());
        assert!(Json::parse(&("[".repeat(DEEPEST + 1) + &"]".repeat(DEEPEST + 1))).is_none());
    }
}
