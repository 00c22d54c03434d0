// Every architecture's random GGUF in the prebuilt llama.cpp: the same distribution behind each token as fettle's, within a
// thousandth of the largest logit; an encoder's last vector, and the vectors of files that pool, in direction. Adapters
// merged, and alone on their base. Where that is in q8_0 llama.cpp rounds what it multiplies to 8 bits too, which random
// models make up to 0.03 of.
//
//   node llama_families.mjs DIR      run by test_families on what write_families left in DIR
//
// llama.cpp gives probabilities, so logits are compared as log-softmax; those of hopeless tokens are lost to f32 and left
// out. The KV cache is F32 and flash attention is off. The context of 256 tokens decides which of longrope's factors serve.
import {getLlama, LlamaLogLevel} from "node-llama-cpp";
import {readFileSync} from "node:fs";
import {join} from "node:path";

const dir = process.argv[2];
const families = JSON.parse(readFileSync(join(dir, "families.json"), "utf8"));
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: 1});
let failed = 0, passed = 0;

function outputs(f, width) {
    const bytes = readFileSync(join(dir, `${f.name}.outputs`));
    const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    return f.ids.map((_, i) => all.subarray(i * width, (i + 1) * width));
}

async function decoderDistance(f, model, lora) {
    const context = await model.createContext({
        lora, contextSize: 256, sequences: 1, threads: 1, flashAttention: false, experimentalKvCacheKeyType: "F32",
        experimentalKvCacheValueType: "F32", swaFullCache: true
    });
    const ask = {generateNext: {probabilities: true, options: {temperature: 1, topK: 0, topP: 1, minP: 0}}};
    const answers = await context.getSequence().controlledEvaluate(f.ids.map(id => [id, ask]));
    let worst = 0, compared = 0;
    outputs(f, f.vocab).forEach((logits, i) => {
        const top = Math.max(...logits), sum = logits.reduce((s, x) => s + Math.exp(x - top), 0);
        for (const [id, p] of answers[i].next.probabilities)
            if (p > 1e-30) {
                worst = Math.max(worst, Math.abs(Math.log(p) - (logits[id] - top - Math.log(sum))));
                compared++;
            }
    });
    await context.dispose();
    return compared < f.ids.length * f.vocab / 2 ? Infinity : worst / f.largest;
}

async function vectorDistance(f, model, mine) {
    const context = await model.createEmbeddingContext({contextSize: 256, threads: 1});
    const {vector} = await context.getEmbeddingFor(f.ids);
    const norm = v => Math.sqrt(v.reduce((s, x) => s + x * x, 0));
    const [a, b] = [norm(mine), norm(vector)];
    await context.dispose();
    return vector.length === mine.length ? Math.max(...vector.map((x, i) => Math.abs(x / b - mine[i] / a))) : Infinity;
}

async function check(what, file, bound, measure) {
    const model = await llama.loadModel({modelPath: join(dir, file)});
    const distance = await measure(model);
    const holds = distance < bound; // false for NaN
    console.log(`${holds ? "" : "FAILED: "}${what} in llama.cpp: distance ${distance.toExponential(1)}`);
    holds ? passed++ : failed++;
    await model.dispose();
}

for (const f of families) {
    // the wrapper gives the last token's vector where the file names no pooling
    const distance = lora => model => f.encoder ? vectorDistance(f, model, outputs(f, f.hidden).at(-1)) : decoderDistance(f, model, lora);
    if (f.base !== f.name)
        await check(f.name, `${f.name}.gguf`, 1e-3, distance());
    if (f.base)
        await check(`${f.name}, adapter alone,`, `${f.base}.gguf`, f.base === f.name ? 5e-2 : 1e-3,
            distance(join(dir, `${f.name}-adapter.gguf`)));
    for (const way of f.pooled) {
        const bytes = readFileSync(join(dir, `${f.name}-${way}.outputs`));
        const mine = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
        await check(`${f.name}-${way}`, `${f.name}-${way}.gguf`, 1e-3, model => vectorDistance(f, model, mine));
    }
}
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
