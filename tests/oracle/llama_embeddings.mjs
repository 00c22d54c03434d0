// The vectors of texts, from the text on, in the prebuilt llama.cpp against what `fettle embed` gave for the same GGUF.
//
//   node llama_embeddings.mjs MODEL.gguf VECTORS.jsonl      run by test_embeddings
//
// VECTORS.jsonl: {"text", "vector"} a line. llama.cpp tokenizes by itself; its vectors are scaled to length 1 before they are
// compared. Exit status: 0 every component within a thousandth, 1 not.
import {getLlama, LlamaLogLevel} from "node-llama-cpp";
import {readFileSync} from "node:fs";

const [modelPath, vectors] = process.argv.slice(2);
const rows = readFileSync(vectors, "utf8").trim().split("\n").map(line => JSON.parse(line));
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: 1});
const model = await llama.loadModel({modelPath});
const context = await model.createEmbeddingContext({contextSize: 64, threads: 1});
let worst = 0;
for (const row of rows) {
    const {vector} = await context.getEmbeddingFor(row.text);
    const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
    const off = vector.length === row.vector.length ? Math.max(...vector.map((x, i) => Math.abs(x / length - row.vector[i]))) : Infinity;
    worst = off <= worst ? worst : off; // NaN stays
}
console.log(`${worst < 1e-3 ? "" : "FAILED: "}${rows.length} texts in llama.cpp: largest distance ${worst.toExponential(1)}`);
await llama.dispose();
process.exit(worst < 1e-3 && rows.length ? 0 : 1);
