//! The one change people can ask for here: a new root, or a new intermediate.

use axum::extract::{Query, State};
use axum::{Extension, Json};
use http::StatusCode;
use outis_model::port::{Answer, Refusal};
use outis_model::review::User;
use serde::{Deserialize, Serialize};

use super::Shared;
use crate::problem::Problem;

/// What is to be replaced. It stands in the path, which is signed; a body would not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rotate {
    /// The root and all below it; else the intermediate alone.
    pub root: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotating {
    /// One sentence.
    pub text: String,
}

/// Takes what people want changed (answered by the controller's wiring).
pub trait Orders: Send + Sync {
    /// Whether the user may replace root and intermediate. A no is remembered.
    fn may_rotate(&self, user: User) -> Answer<'_, Result<bool, Refusal>>;
    /// Begins it, on behalf of the user.
    fn rotate(&self, user: User, what: Rotate) -> Answer<'_, Result<Rotating, Refusal>>;
}

pub(super) async fn rotate(
    State(shared): State<Shared>,
    Extension(user): Extension<User>,
    Query(what): Query<Rotate>,
) -> Result<Json<Rotating>, Problem> {
    if !shared.orders.may_rotate(user.clone()).await? {
        let detail = format!(
            "{} may not replace our root or intermediate; that takes the verb `rotate` on outises.outis.dev `cluster`",
            user.username
        );
        return Err(Problem::new(StatusCode::FORBIDDEN, "Forbidden", detail));
    }
    Ok(Json(shared.orders.rotate(user, what).await?))
}
