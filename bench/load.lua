-- Sends the load to the address of the proxy, whatever name the calls carry.
function wrk.resolve()
  wrk.addrs = wrk.lookup(os.getenv("BENCH_HOST"), os.getenv("BENCH_PORT"))
end
