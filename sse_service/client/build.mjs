/**
 * Builds dist/sse-websocket.js: src and the SSE parser in one ES module, for browsers without a bundler.
 * `node build.mjs` after `npm ci`; `node build.mjs --digest` prints the digest of the sources and needs nothing.
 */
import { createHash } from "node:crypto"
import { readFile, readdir, writeFile } from "node:fs/promises"

const here = new URL("./", import.meta.url)
const lock = JSON.parse(await readFile(new URL("package-lock.json", here), "utf8"))
const parser = lock.packages["node_modules/eventsource-parser"]

/** Over everything the bytes of dist follow from. */
async function digest() {
  const hash = createHash("sha256")
  for (const name of (await readdir(new URL("src/", here))).sort()) {
    hash.update(`${name}\n`).update(await readFile(new URL(`src/${name}`, here)))
  }
  hash.update(await readFile(new URL("build.mjs", here)))
  for (const name of ["esbuild", "eventsource-parser"]) hash.update(lock.packages[`node_modules/${name}`].integrity)
  return hash.digest("hex")
}

if (process.argv.includes("--digest")) {
  console.log(await digest())
} else {
  const { build } = await import("esbuild")
  const licence = await readFile(new URL("node_modules/eventsource-parser/LICENSE", here), "utf8")
  const { version } = JSON.parse(await readFile(new URL("package.json", here), "utf8"))
  const { outputFiles } = await build({
    entryPoints: [new URL("src/main.js", here).pathname],
    bundle: true,
    format: "esm",
    target: "es2020",
    write: false,
    banner: {
      js: [
        `/* @ws2sse/client ${version}: SseWebSocket and SwitchingWebSocket, the WebSocket interface over Server-Sent Events and POST.`,
        `sources sha256 ${await digest()}; made by build.mjs, not by hand.`,
        "",
        `Contains eventsource-parser ${parser.version}:`,
        licence.trim(),
        "*/",
      ].join("\n"),
    },
  })
  const target = process.argv[2] ?? new URL("dist/sse-websocket.js", here)
  await writeFile(target, outputFiles[0].contents)
}
