// What llama.cpp makes of a GGUF: the ids of each prompt and the tokens that it continues with greedily.
//
//   node llama_oracle.mjs MODEL.gguf COUNT < PROMPTS.json > ANSWERS.json
//
// PROMPTS.json is a list of strings. ANSWERS.json is an object: bos, eos (ids or null), add_bos, and cases, one a prompt:
// {"prompt": text, "ids": [...], "generated": [...]}, where ids are without BOS, special tokens not parsed, and generated
// holds COUNT tokens or ends with an end-of-generation token. Where the model wants a BOS it stands before the prompt.
// The KV cache is F32 and flash attention is off, so that the arithmetic is as near to exact as llama.cpp has it.
import {getLlama, LlamaLogLevel} from "node-llama-cpp";
import {readFileSync} from "node:fs";

const [modelPath, count] = process.argv.slice(2);
const prompts = JSON.parse(readFileSync(0, "utf8"));

const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.warn, maxThreads: 1});
const model = await llama.loadModel({modelPath});
const context = await model.createContext({
    contextSize: Math.min(model.trainContextSize, 512), sequences: 1, threads: 1, flashAttention: false,
    experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"
});
const sequence = context.getSequence();

async function continuation(ids) {
    const generated = [];
    await sequence.clearHistory();
    const start = model.tokens.shouldPrependBosToken ? [model.tokens.bos, ...ids] : ids;
    for await (const id of sequence.evaluate(start, {temperature: 0, yieldEogToken: true})) {
        generated.push(id);
        if (generated.length >= Number(count))
            break;
    }
    return generated;
}

const cases = [];
for (const prompt of prompts) {
    const ids = [...model.tokenize(prompt, false)];
    cases.push({prompt, ids, generated: await continuation(ids)});
}
console.log(JSON.stringify({
    bos: model.tokens.bos, eos: model.tokens.eos, add_bos: model.tokens.shouldPrependBosToken, cases
}));
await llama.dispose();
