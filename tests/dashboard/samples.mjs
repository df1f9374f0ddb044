// Pools as people have them, for tests that look at the whole page, and for the pictures in the documents.

/// A pool of licences with holders, waiters, and slots in each state.
export async function licencePool(server) {
  const pool = await server.pool({
    count: 8, name: "vsim", cooldown: 600,
    slots: [1, 1, 2, 2, 3, 3, 4, 4].map((host) => `27000@lic${host}`),
  });
  const holders = [
    { ttl: 3600, holder: { name: "nightly 812", url: "https://ci.example.com/jobs/812" } },
    { ttl: 600, holder: { name: "anna@ws7:4412 vsim -c top" } },
    { ttl: 5400, holder: { name: "gitlab: chip/regress #9912", url: "https://gitlab.example.com/chip/regress/-/jobs/9912" } },
    { ttl: 7200, holder: { name: "coverage merge 44", url: "https://ci.example.com/jobs/44" }, slots: 2 },
    { ttl: 900, holder: { name: "bob@ws2:771 make sim" } },
  ];
  pool.leases = [];
  for (const fields of holders) pool.leases.push(await pool.borrow(fields));
  await pool.giveBack(await pool.borrow({}));
  await server.call("PUT", `${pool.path}/slots/7`, { out: true, reason: "no licence since the update, ticket 4711" });
  return pool;
}

export async function queueUp(pool) {
  await pool.wait({ holder: { name: "regress 77", url: "https://ci.example.com/jobs/77" } });
  await pool.wait({ holder: { name: "carla@ws3:2210 vsim -c alu" } });
  await pool.wait({ slots: 2, holder: { name: "nightly coverage", url: "https://ci.example.com/jobs/813" } });
  await pool.wait({ priority: -5, holder: { name: "lint, when there is time" } });
}

export async function otherPools(server) {
  const pools = [["boards", 3, 1], ["emulators", 4, 4], ["questa seats", 8, 5], ["fpga-rack-a", 12, 9], ["gpu runners", 6, 0]];
  for (const [name, count, held] of pools) {
    const pool = await server.pool({ count, name });
    for (let i = 0; i < held; ++i) await pool.borrow({ holder: { name: `job ${i}` } });
    if (held === count) await pool.wait({ holder: { name: "next" } });
  }
}
