//! The container runtime interface v1: generated types ([`v1`]), the trait [`Runtime`] that the kubelet speaks to, and its
//! client over a Unix socket ([`Remote`]).

#[allow(clippy::all, clippy::pedantic, clippy::disallowed_methods, missing_docs)]
#[rustfmt::skip]
pub mod v1;

mod containerd;
pub mod health;
mod remote;
pub use remote::Remote;

pub use tonic::Code;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use std::time::Duration;

/// Why a call to the runtime failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("rpc error: code = {} desc = {message}", code_name(*.code))]
pub struct Error {
    pub method: &'static str,
    pub code: tonic::Code,
    pub message: String,
}

impl Error {
    pub fn new(method: &'static str, code: tonic::Code, message: impl Into<String>) -> Self {
        Self { method, code, message: message.into() }
    }
    pub fn is_not_found(&self) -> bool {
        self.code == tonic::Code::NotFound
    }
    /// The runtime does not know the call.
    pub fn is_unimplemented(&self) -> bool {
        self.code == tonic::Code::Unimplemented
    }
    /// No answer within the time, ours or the runtime's.
    pub fn is_timeout(&self) -> bool {
        self.code == tonic::Code::DeadlineExceeded
    }
}

/// Code names as Go's gRPC prints them.
pub(crate) fn code_name(c: tonic::Code) -> &'static str {
    use tonic::Code as C;
    match c {
        C::Ok => "OK",
        C::Cancelled => "Canceled",
        C::Unknown => "Unknown",
        C::InvalidArgument => "InvalidArgument",
        C::DeadlineExceeded => "DeadlineExceeded",
        C::NotFound => "NotFound",
        C::AlreadyExists => "AlreadyExists",
        C::PermissionDenied => "PermissionDenied",
        C::ResourceExhausted => "ResourceExhausted",
        C::FailedPrecondition => "FailedPrecondition",
        C::Aborted => "Aborted",
        C::OutOfRange => "OutOfRange",
        C::Unimplemented => "Unimplemented",
        C::Internal => "Internal",
        C::Unavailable => "Unavailable",
        C::DataLoss => "DataLoss",
        C::Unauthenticated => "Unauthenticated",
    }
}

pub type Call<'a, T> = BoxFuture<'a, Result<T, Error>>;
pub type Events = BoxStream<'static, Result<v1::ContainerEventResponse, Error>>;

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The configured request timeout.
    Usual,
    /// Twice that: making a sandbox waits for the network plugin.
    Double,
    /// The request's own seconds on top of the usual.
    Plus(Duration),
    /// As long as it takes.
    None,
}

/// One line a call: name, request, response, service, time limit. Makes the trait and its implementation in [`Remote`].
macro_rules! calls {
    ($cb:ident) => {
        $cb! {
            version(VersionRequest) -> VersionResponse, rt, |_r| Limit::Usual;
            status(StatusRequest) -> StatusResponse, rt, |_r| Limit::Usual;
            runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse, rt, |_r| Limit::Usual;
            update_runtime_config(UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse, rt, |_r| Limit::Usual;
            run_pod_sandbox(RunPodSandboxRequest) -> RunPodSandboxResponse, rt, |_r| Limit::Double;
            stop_pod_sandbox(StopPodSandboxRequest) -> StopPodSandboxResponse, rt, |_r| Limit::Usual;
            remove_pod_sandbox(RemovePodSandboxRequest) -> RemovePodSandboxResponse, rt, |_r| Limit::Usual;
            pod_sandbox_status(PodSandboxStatusRequest) -> PodSandboxStatusResponse, rt, |_r| Limit::Usual;
            list_pod_sandbox(ListPodSandboxRequest) -> ListPodSandboxResponse, rt, |_r| Limit::Usual;
            pod_sandbox_stats(PodSandboxStatsRequest) -> PodSandboxStatsResponse, rt, |_r| Limit::Usual;
            list_pod_sandbox_stats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse, rt, |_r| Limit::Usual;
            update_pod_sandbox_resources(UpdatePodSandboxResourcesRequest) -> UpdatePodSandboxResourcesResponse, rt, |_r| Limit::Usual;
            create_container(CreateContainerRequest) -> CreateContainerResponse, rt, |_r| Limit::Usual;
            start_container(StartContainerRequest) -> StartContainerResponse, rt, |_r| Limit::Usual;
            stop_container(StopContainerRequest) -> StopContainerResponse, rt,
                |r| Limit::Plus(Duration::from_secs(u64::try_from(r.timeout).unwrap_or(0)));
            remove_container(RemoveContainerRequest) -> RemoveContainerResponse, rt, |_r| Limit::Usual;
            list_containers(ListContainersRequest) -> ListContainersResponse, rt, |_r| Limit::Usual;
            container_status(ContainerStatusRequest) -> ContainerStatusResponse, rt, |_r| Limit::Usual;
            update_container_resources(UpdateContainerResourcesRequest) -> UpdateContainerResourcesResponse, rt, |_r| Limit::Usual;
            reopen_container_log(ReopenContainerLogRequest) -> ReopenContainerLogResponse, rt, |_r| Limit::Usual;
            container_stats(ContainerStatsRequest) -> ContainerStatsResponse, rt, |_r| Limit::Usual;
            list_container_stats(ListContainerStatsRequest) -> ListContainerStatsResponse, rt, |_r| Limit::Usual;
            exec_sync(ExecSyncRequest) -> ExecSyncResponse, rt,
                |r| if r.timeout > 0 { Limit::Plus(Duration::from_secs(u64::try_from(r.timeout).unwrap_or(0))) } else { Limit::None };
            exec(ExecRequest) -> ExecResponse, rt, |_r| Limit::Usual;
            attach(AttachRequest) -> AttachResponse, rt, |_r| Limit::Usual;
            port_forward(PortForwardRequest) -> PortForwardResponse, rt, |_r| Limit::Usual;
            list_images(ListImagesRequest) -> ListImagesResponse, img, |_r| Limit::Usual;
            image_status(ImageStatusRequest) -> ImageStatusResponse, img, |_r| Limit::Usual;
            pull_image(PullImageRequest) -> PullImageResponse, img, |_r| Limit::None;
            remove_image(RemoveImageRequest) -> RemoveImageResponse, img, |_r| Limit::Usual;
            image_fs_info(ImageFsInfoRequest) -> ImageFsInfoResponse, img, |_r| Limit::Usual;
        }
    };
}
pub(crate) use calls;

macro_rules! declare {
    ($($name:ident($req:ident) -> $res:ident, $svc:ident, $limit:expr;)*) => {
        /// A container runtime. The kubelet's tests give a fake.
        pub trait Runtime: Send + Sync + 'static {
            $(fn $name(&self, req: v1::$req) -> Call<'_, v1::$res>;)*
            /// The stream of container lifecycle events, where the runtime has one. The sandbox may be missing in an event.
            fn container_events(&self) -> Call<'_, Events>;
        }
    };
}
calls!(declare);
