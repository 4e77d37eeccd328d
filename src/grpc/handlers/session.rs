//! `SessionService`.

use tonic::{Request, Response, Status};

use super::{called_by, called_to_act, lists};
use crate::{
    app::{App, session},
    grpc::convert,
    pb::{self, session_service_server::SessionService},
};

/// Serves `SessionService`.
#[derive(Clone)]
pub struct SessionHandler {
    app: App,
}

impl SessionHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl SessionService for SessionHandler {
    async fn get_session(
        &self,
        request: Request<pb::GetSessionRequest>,
    ) -> Result<Response<pb::GetSessionResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("session_id", &request.session_id)?;
        let session = session::get(&self.app, &caller, id).await?;
        Ok(Response::new(pb::GetSessionResponse { session: Some(session.into()) }))
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::session::list(lists, &request)?;
        let page = session::list(&self.app, &caller, listing.filter, &listing.page).await?;
        let (sessions, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListSessionsResponse { sessions, next_page_token }))
    }

    async fn revoke_session(
        &self,
        request: Request<pb::RevokeSessionRequest>,
    ) -> Result<Response<pb::RevokeSessionResponse>, Status> {
        let (call, id) = called_to_act(request, |r| convert::id_of("session_id", &r.session_id))?;
        let answer = |()| pb::RevokeSessionResponse {};
        Ok(Response::new(session::revoke(&self.app, &call, id, answer).await?))
    }

    async fn revoke_all_sessions(
        &self,
        request: Request<pb::RevokeAllSessionsRequest>,
    ) -> Result<Response<pb::RevokeAllSessionsResponse>, Status> {
        let (call, (user_id, except)) = called_to_act(request, |r| convert::session::revoke_all(&r))?;
        let answer = |ended_sessions| pb::RevokeAllSessionsResponse { ended_sessions };
        Ok(Response::new(session::revoke_all(&self.app, &call, user_id, except, answer).await?))
    }
}
