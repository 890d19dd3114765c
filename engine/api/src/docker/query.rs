//! The query string, read as Docker reads it.

use bryo_core::model::Filters;

use super::error::{ApiError, Result};
use super::{filters, time};

/// A request's query: names may repeat.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string; what cannot be decoded is taken as it is.
    pub fn parse(query: Option<&str>) -> Query {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Query(pairs.into_owned().collect())
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first value, unless it is empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// All values of a name.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect()
    }

    /// A flag: anything but nothing, `0`, `no`, `false` and `none` is true.
    pub fn flag(&self, name: &str) -> bool {
        let value = self.get(name).unwrap_or_default().trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A flag that is true when it is not there.
    pub fn flag_or(&self, name: &str, default: bool) -> bool {
        if self.text(name).is_none() { default } else { self.flag(name) }
    }

    /// A number, if there is one.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.trim().parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(ApiError::bad_request(format!(
                "invalid value for '{name}': strconv.Atoi: parsing \"{text}\": invalid syntax"
            ))),
        }
    }

    /// A time, in nanoseconds since the epoch.
    pub fn time(&self, name: &str) -> Result<Option<i128>> {
        match self.text(name) {
            None | Some("0") => Ok(None),
            Some(text) => time::parse(text).map(Some).ok_or_else(|| {
                ApiError::bad_request(format!("invalid value for '{name}': '{text}' is not a time"))
            }),
        }
    }

    /// The `filters` parameter, in both of Docker's encodings.
    pub fn filters(&self) -> Result<Filters> {
        filters::parse(self.get("filters").unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_docker_reads_them() {
        let q = Query::parse(Some("a=1&b=false&c=&d=True&t=-1&x=y%2Fz&names=p&names=q"));
        assert!(q.flag("a") && !q.flag("b") && !q.flag("c") && q.flag("d") && !q.flag("none"));
        assert!(q.flag_or("missing", true) && !q.flag_or("b", true));
        assert_eq!(q.number::<i64>("t").unwrap(), Some(-1));
        assert_eq!(q.number::<i64>("missing").unwrap(), None);
        assert!(q.number::<i64>("x").is_err());
        assert_eq!(q.text("x"), Some("y/z"));
        assert_eq!(q.all("names"), ["p", "q"]);
    }
}
