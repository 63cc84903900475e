//! The table of what no notification can hold: messages with attachments, and long ones. It is the one that the official adapter documents
//! and its application creates; here it is made if it is missing and the user may.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use crate::server::{Code, Error as Refusal};

/// Bytes that an identifier can have; the server cuts what is longer.
pub const IDENTIFIER_MAX: usize = 63;

/// The table's name, as it is written in statements: as the official adapter, without quotes of our own.
pub struct Table {
    name: String,
    insert: String,
    select: String,
    remove: String,
}

impl Table {
    /// Checks a name: one or several identifiers with dots between, each in double quotes or a plain word.
    pub fn new(name: &str) -> Result<Table, Refusal> {
        if !is_name(name) {
            return Err(Refusal::new(Code::Invalid, format!("adapter.tableName: {name:?} is no name of a table")));
        }
        // The notification is sent with the row, which its readers then find: it is heard when both are committed.
        let insert = format!(
            "WITH attachment AS (INSERT INTO {name} (payload) VALUES ($1) RETURNING id) \
             SELECT pg_notify($2, $3 || id || $4) FROM attachment"
        );
        let select = format!("SELECT payload FROM {name} WHERE id = $1");
        let remove = format!("DELETE FROM {name} WHERE created_at < now() - $1 * interval '1 millisecond'");
        Ok(Table { name: name.to_owned(), insert, select, remove })
    }

    /// Makes the table if it is missing; what hinders that.
    pub async fn make(&self, client: &Client) -> Result<(), Error> {
        if self.exists(client).await? {
            return Ok(());
        }
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {} (id bigserial UNIQUE, created_at timestamptz DEFAULT now(), payload bytea)",
            self.name
        );
        match client.batch_execute(&create).await {
            // Another server can have made it at the same moment.
            Err(error) if !self.exists(client).await? => Err(error),
            _ => Ok(()),
        }
    }

    async fn exists(&self, client: &Client) -> Result<bool, Error> {
        let row = client.query_typed_one("SELECT to_regclass($1) IS NOT NULL", &[(&self.name, Type::TEXT)]).await?;
        row.try_get(0)
    }

    /// Keeps `payload`, and notifies the channel of its number, which is written between `head` and `tail`.
    pub async fn add(
        &self,
        client: &Client,
        channel: &str,
        payload: &[u8],
        (head, tail): (&str, &str),
    ) -> Result<(), Error> {
        let text = Type::TEXT;
        let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] =
            [(&payload, Type::BYTEA), (&channel, text.clone()), (&head, text.clone()), (&tail, text)];
        client.execute_typed(&self.insert, &params).await.map(drop)
    }

    /// What has this number, if it is still there.
    pub async fn get(&self, client: &Client, id: i64) -> Result<Option<Vec<u8>>, Error> {
        let row = client.query_typed_opt(&self.select, &[(&id, Type::INT8)]).await?;
        row.map_or(Ok(None), |row| row.try_get(0))
    }

    /// Removes what is older than so many milliseconds, by the clock of the database.
    pub async fn clean(&self, client: &Client, age_ms: u32) -> Result<(), Error> {
        client.execute_typed(&self.remove, &[(&f64::from(age_ms), Type::FLOAT8)]).await.map(drop)
    }
}

fn is_name(name: &str) -> bool {
    let mut rest = name;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => match quoted.split_once('"') {
                Some((part, after)) if !part.contains('\0') => (part, after),
                _ => return false,
            },
            None => {
                let (part, after) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
                let is_first = |char: char| char.is_ascii_alphabetic() || char == '_';
                let is_other = |char: char| char.is_ascii_alphanumeric() || char == '_';
                if !part.starts_with(is_first) || !part.chars().all(is_other) {
                    return false;
                }
                (part, after)
            }
        };
        if part.is_empty() || part.len() > IDENTIFIER_MAX {
            return false;
        }
        match after.strip_prefix('.') {
            Some(after) => rest = after,
            None => return after.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_tables_get_into_statements() {
        for name in ["socket_io_attachments", "events.attachments", "\"My Table\"", "a.\"B-c\".d1", "_x"] {
            assert!(Table::new(name).is_ok(), "{name}");
        }
        let long = "a".repeat(64);
        for name in ["", "a b", "a;b", "a.", ".a", "a..b", "1a", "\"\"", "\"a", "\"a\"b", "a\"b\"", "a'", "a--", &long]
        {
            assert!(Table::new(name).is_err(), "{name}");
        }
    }
}
