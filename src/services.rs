//! The services behind the interceptors, one line for each, and the way of a call to its own.

use http::Response;
use tonic::{
    body::Body,
    codegen::{BoxFuture, Service as _},
    service::{Routes, RoutesBuilder},
};
use tonic_health::server::HealthReporter;

use crate::{
    DESCRIPTOR_SET,
    context::App,
    handlers::{
        ApiKeyHandler, AuthenticationHandler, AuthorizationHandler, EventHandler, InvitationHandler, MembershipHandler,
        OAuthAccountHandler, OrganizationHandler, RefreshTokenHandler, RoleHandler, UserHandler,
    },
    interceptors::Inner,
    pb,
    transport::Request,
};

/// Largest request message. The largest that a rule of a field allows, an OAuth account with its tokens, has about 60 KiB.
const MAX_REQUEST_BYTES: usize = 256 * 1024;

macro_rules! services {
    ($($field:ident: $module:ident :: $server:ident of $handler:ident),+ $(,)?) => {
        /// Everything that is served.
        pub struct Services {
            $($field: pb::$module::$server<$handler>,)+
            /// Health and reflection.
            others: Routes,
        }

        impl Services {
            fn ours(app: &App, others: Routes) -> Self {
                Self {
                    $($field: pb::$module::$server::new($handler::new(app.clone()))
                        .max_decoding_message_size(MAX_REQUEST_BYTES),)+
                    others,
                }
            }

            /// Tells the health service what is served.
            async fn set_serving(health: &HealthReporter) {
                $(health.set_serving::<pb::$module::$server<$handler>>().await;)+
            }

            /// Finds the service in the path. Ours are found here, as the router of the library takes half as long as a whole call.
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
    oauth_accounts: o_auth_account_service_server::OAuthAccountServiceServer of OAuthAccountHandler,
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
    /// Says in one line what is wrong.
    pub async fn new(app: &App, reflection: bool) -> Result<Self, String> {
        let (health, health_service) = tonic_health::server::health_reporter();
        Self::set_serving(&health).await;
        let mut others = RoutesBuilder::default();
        others.add_service(health_service);
        if reflection {
            let builder = || {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                    // The details of errors, so that grpcurl can show them.
                    .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            };
            let failed = |error| format!("reflection cannot be built: {error}");
            others.add_service(builder().build_v1().map_err(failed)?);
            others.add_service(builder().build_v1alpha().map_err(failed)?);
        }
        Ok(Self::ours(app, others.routes().prepare()))
    }
}

impl Inner for &Services {
    async fn call(self, request: Request) -> Response<Body> {
        match self.route(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
