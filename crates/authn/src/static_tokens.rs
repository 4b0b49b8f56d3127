//! The static token file: CSV lines `token,user,uid,"group1,group2"`
//! (apiserver `pkg/authentication/token/tokenfile`).

use crate::Error;
use meta::UserInfo;
use std::collections::HashMap;

/// Tokens and the users they stand for.
#[derive(Clone, Debug, Default)]
pub struct StaticTokens {
    users: HashMap<String, UserInfo>,
}

impl StaticTokens {
    /// Reads the text of a token file. Lines without a token are skipped, a later line replaces an earlier one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut users = HashMap::new();
        for record in records(text)? {
            let [token, name, uid, rest @ ..] = record.as_slice() else {
                return Err(Error::TokenFile(format!(
                    "must have at least 3 columns (token, user name, user uid), found {}",
                    record.len()
                )));
            };
            if token.is_empty() {
                continue;
            }
            let groups = rest.first().map_or(Vec::new(), |g| g.split(',').map(str::to_owned).collect());
            let user = UserInfo { name: name.clone(), uid: uid.clone(), groups, ..UserInfo::default() };
            users.insert(token.clone(), user);
        }
        Ok(Self { users })
    }
    pub fn user(&self, token: &str) -> Option<&UserInfo> {
        self.users.get(token)
    }
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// CSV as Go's reader takes it: quoted fields may hold commas, line ends and doubled quotes; empty lines are skipped.
fn records(text: &str) -> Result<Vec<Vec<String>>, Error> {
    let mut out = Vec::new();
    let mut record: Vec<String> = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut was_quoted = false;
    let mut chars = text.chars().peekable();
    let mut line = 1;
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        }
        match c {
            '"' if quoted => match chars.peek() {
                Some('"') => {
                    field.push('"');
                    chars.next();
                }
                _ => quoted = false,
            },
            c if quoted => field.push(c),
            '"' if field.is_empty() && !was_quoted => {
                quoted = true;
                was_quoted = true;
            }
            '"' => return Err(Error::TokenFile(format!("line {line}: bare \" in non-quoted field"))),
            ',' => {
                record.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                if !(record.is_empty() && field.is_empty() && !was_quoted) {
                    record.push(std::mem::take(&mut field));
                    out.push(std::mem::take(&mut record));
                }
                was_quoted = false;
            }
            c => field.push(c),
        }
    }
    if quoted {
        return Err(Error::TokenFile("extraneous or missing \" in quoted-field".into()));
    }
    if !(record.is_empty() && field.is_empty() && !was_quoted) {
        record.push(field);
        out.push(record);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_csv() {
        let t =
            StaticTokens::parse("t1,alice,1,\"g1,g2\"\r\n\n,nobody,2\nt2,bob,3\nt2,\"b\"\"ob\",4").unwrap();
        assert_eq!(t.user("t1").unwrap().groups, ["g1", "g2"]);
        assert_eq!(t.user("t2").unwrap().name, "b\"ob");
        assert!(t.user("").is_none() && t.user("t2").unwrap().groups.is_empty());
        assert!(StaticTokens::parse("t,x").is_err());
        assert!(StaticTokens::parse("t,\"x,1").is_err());
    }
}
