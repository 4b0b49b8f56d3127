//! The API server alone over a store of its own, with the allocator and threads of the whole program: for profiles and
//! measurements of a change (`cargo xtask bench` measures the program itself).

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), String> {
    let args = std::env::args().skip(1).filter(|a| a != "kube-apiserver").collect();
    let threads = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("keelson")
        .build()
        .map_err(|e| e.to_string())?;
    threads.block_on(async {
        let Some(flags) = apiserver::run::prepare(args)? else { return Ok(()) };
        let rt = runtime::Runtime::new();
        let (stop, ended) = (rt.stop_token(), rt.clone());
        rt.spawn_until_stop("signals", async move {
            runtime::tasks::terminated().await;
            stop.cancel();
        });
        let store = storage::Embedded::open(&flags.store_file, storage::Options::default(), rt.clone()).await;
        let store = store.map_err(|e| e.to_string())?;
        let done = apiserver::run::run_on(&flags, store.clone(), rt).await;
        ended.shutdown(std::time::Duration::from_secs(10)).await;
        store.close().await;
        done
    })
}
