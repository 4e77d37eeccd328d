//! The services behind the interceptors, one line each, and the routing of calls to them.

use http::Response;
use tonic::{
    body::Body,
    codegen::{BoxFuture, Service as _},
    service::{Routes, RoutesBuilder},
};
use tonic_health::pb::health_server::HealthServer;

use crate::{
    DESCRIPTOR_SET,
    app::App,
    app::health::Health,
    config::NetworkArgs,
    grpc::handlers::{
        ApiKeyHandler, AuthenticationHandler, AuthorizationHandler, EventHandler, HealthHandler, InvitationHandler,
        MembershipHandler, OauthAccountHandler, OrganizationHandler, RefreshTokenHandler, RoleHandler, SessionHandler,
        UserHandler,
    },
    interceptors::{Next, Received},
    pb,
    transport::Request,
};

macro_rules! services {
    ($($field:ident: $module:ident :: $server:ident of $handler:ident),+ $(,)?) => {
        /// Everything that is served.
        pub struct Services {
            $($field: pb::$module::$server<$handler>,)+
            /// Health and reflection.
            others: Routes,
        }

        impl Services {
            fn ours(app: &App, network: &NetworkArgs, others: Routes) -> Self {
                Self {
                    $($field: pb::$module::$server::new($handler::new(app.clone()))
                        .max_decoding_message_size(network.max_request_size)
                        .max_encoding_message_size(network.max_answer_size),)+
                    others,
                }
            }

            /// Names of our services.
            fn names() -> Vec<&'static str> {
                vec![$(pb::$module::SERVICE_NAME),+]
            }

            /// Finds the service named in the path. Done here because the library's router takes half as long as a whole call.
            fn route(&self, request: Request) -> BoxFuture<Response<Body>, std::convert::Infallible> {
                match request.uri().path().split('/').nth(1) {
                    $(Some(pb::$module::SERVICE_NAME) => self.$field.clone().call(request),)+
                    _ => Box::pin(self.others.clone().call(request)),
                }
            }
        }
    };
}

services! {
    users: user_service_server::UserServiceServer of UserHandler,
    organizations: organization_service_server::OrganizationServiceServer of OrganizationHandler,
    memberships: membership_service_server::MembershipServiceServer of MembershipHandler,
    roles: role_service_server::RoleServiceServer of RoleHandler,
    invitations: invitation_service_server::InvitationServiceServer of InvitationHandler,
    oauth_accounts: oauth_account_service_server::OauthAccountServiceServer of OauthAccountHandler,
    sessions: session_service_server::SessionServiceServer of SessionHandler,
    refresh_tokens: refresh_token_service_server::RefreshTokenServiceServer of RefreshTokenHandler,
    api_keys: api_key_service_server::ApiKeyServiceServer of ApiKeyHandler,
    authentication: authentication_service_server::AuthenticationServiceServer of AuthenticationHandler,
    authorization: authorization_service_server::AuthorizationServiceServer of AuthorizationHandler,
    events: event_service_server::EventServiceServer of EventHandler,
}

impl Services {
    /// The services of an application.
    ///
    /// # Errors
    /// A one-line description of the problem.
    pub fn new(app: &App, health: &Health, network: &NetworkArgs, reflection: bool) -> Result<Self, String> {
        let health = HealthServer::new(HealthHandler::new(health.clone(), Self::names()));
        let mut others = RoutesBuilder::default();
        others.add_service(health.max_decoding_message_size(network.max_request_size));
        if reflection {
            let builder = || {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                    // The details of errors, so that grpcurl can show them.
                    .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            };
            let failed = |error| format!("reflection cannot be built: {error}");
            let (v1, v1alpha) = (builder().build_v1().map_err(failed)?, builder().build_v1alpha().map_err(failed)?);
            others.add_service(v1.max_decoding_message_size(network.max_request_size));
            others.add_service(v1alpha.max_decoding_message_size(network.max_request_size));
        }
        Ok(Self::ours(app, network, others.routes().prepare()))
    }
}

impl Next for &Services {
    async fn call(self, request: Received) -> Response<Body> {
        match self.route(request.into()).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
