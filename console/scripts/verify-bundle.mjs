// Fails when the committed bundle is not what the sources give. Builds into a temporary folder and compares byte by byte.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const committed = join(root, "../crates/edge-http/console");
const built = mkdtempSync(join(tmpdir(), "headwater-console-"));

function files(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(paths.map((path) => [path.slice(folder.length + 1), readFileSync(path)]));
}

function differences() {
  const before = files(committed);
  const after = files(built);
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  return names.filter((name) => !before.get(name)?.equals(after.get(name) ?? Buffer.from("missing")));
}

try {
  const env = { ...process.env, CONSOLE_OUT: built };
  const run = spawnSync("npm", ["run", "build", "--silent"], { cwd: root, env, stdio: ["ignore", "ignore", "inherit"] });
  if (run.status !== 0) throw new Error("the console does not build");
  const changed = differences();
  if (changed.length > 0) throw new Error(`the committed bundle is not up to date: ${changed.join(", ")}; run npm run build`);
  console.log("the committed bundle is what its sources give");
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(built, { recursive: true, force: true });
}
