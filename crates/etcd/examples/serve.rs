//! The store's server alone, with the allocator and threads of the whole program: for profiles and measurements
//! (`cargo xtask bench store` measures the program itself).

#[path = "../../keelson/src/memory.rs"]
mod memory;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), String> {
    let args = std::env::args().skip(1).filter(|a| a != "etcd").collect();
    let rt = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("keelson")
        .on_thread_park(memory::give_back)
        .build()
        .map_err(|e| e.to_string())?;
    rt.block_on(etcd::run(args, runtime::Runtime::new()))
}
