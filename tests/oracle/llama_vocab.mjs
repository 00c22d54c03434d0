// llama_vocab.mjs ENCODE_TEXTS SHARED SCRATCH: writes the GGUF vocabulary of every tokenizer below and compares the ids that
// llama.cpp gives with fettle's own (see test_llama_vocab).
import {getLlama, LlamaLogLevel} from "node-llama-cpp";
import {execFileSync} from "node:child_process";
import {readFileSync, writeFileSync} from "node:fs";

const [encodeTexts, shared, scratch] = process.argv.slice(2);
const sources = [
    "vocab/hf/gpt2", "vocab/hf/llama-3.2-1b-instruct", "vocab/hf/qwen2.5-0.5b-instruct", "vocab/hf/smollm2-360m",
    "vocab/hf/llama2/tokenizer.model", "vocab/hf/tinyllama-1.1b-chat",
    "vocab/hf/mistral-v0.3/mistral_instruct_tokenizer_240323.model.v3", "vocab/llama.cpp/ggml-vocab-deepseek-coder.gguf",
    "vocab/llama.cpp/ggml-vocab-starcoder.gguf", "vocab/hf/bert-base-uncased", "vocab/llama.cpp/ggml-vocab-bert-bge.gguf", "models/calib-5m", "models/stories260K", "models/tinystories-656k"
];

// Numbers that are the same every time: a linear congruential generator.
let state = 1n;
function random(below) {
    state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
    return Number((state >> 33n) % BigInt(below));
}

const ranges = [[0x20, 0x7e], [0xa0, 0x24f], [0x370, 0x5ff], [0x900, 0x97f], [0x2000, 0x2bff], [0x3000, 0x30ff], [0x4e00, 0x9fff],
    [0xac00, 0xd7a3], [0xf900, 0xffef], [0x1f300, 0x1faff], [1, 0x1f]];
function randomText() {
    const [low, high] = ranges[random(ranges.length)];
    let text = "";
    for (let n = 1 + random(60); n > 0; n--)
        text += random(5) ? String.fromCodePoint(low + random(high - low + 1)) : " aeiot"[random(6)];
    return text;
}

// A text that begins with a space is left to other tests: a Metaspace pre-tokenizer folds it, llama.cpp does not.
function lines(file) {
    return readFileSync(`${shared}/${file}`, "utf8").split("\n").filter((line) => line && line[0] !== " ").slice(0, 300);
}
const texts = ["don't we'LL I'm", "1234567 3.14", "tabs\tand\r\n\r\n lines  \n", "<|im_start|>user\n<unk>", "=".repeat(300), "🦙👩‍👩‍👧"];
for (let i = 0; i < 800; i++)
    texts.push(randomText().trimStart());
texts.push(...lines("data/excavator/test.jsonl"), ...lines("data/chat/test.jsonl"), ...lines("data/banking77-small20/test.jsonl"));

// llama.cpp ends itself over a character that has neither a token nor byte tokens: such characters are taken out. It does
// not normalize: a tokenizer that does is compared on texts that are normal already.
function fitting(source, all) {
    if (source.includes("smollm2")) // bytes without a token: Hugging Face drops them before merging, llama.cpp behind it
        return all.map((text) => text.replace(/[\x01-\x1f]/g, " ").trimStart());
    if (source.includes("bert")) // llama.cpp takes marked letters outside Latin apart in its own way, and keeps some controls
        return all.filter((text) => !/[\x01-\x08\x0b-\x1f\u0900-\u097f\u3000-\u30ff\uac00-\ud7a3]/.test(text));
    if (source.includes("qwen"))
        return all.filter((text) => text === text.normalize("NFC"));
    if (source !== "models/tinystories-656k")
        return all;
    const vocabulary = JSON.parse(readFileSync(`${shared}/${source}/tokenizer.json`, "utf8")).model.vocab;
    return all.map((text) => [...text].filter((c) => c === " " || c in vocabulary).join("").trimStart());
}

const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.disabled, maxThreads: 1});
let passed = 0, failed = 0;
for (const source of sources) {
    const cases = fitting(source, texts), gguf = `${scratch}/vocab.gguf`;
    writeFileSync(`${scratch}/texts`, cases.map((text) => text + "\0").join(""));
    const out = execFileSync(encodeTexts, [`${shared}/${source}`, `${scratch}/texts`, gguf], {maxBuffer: 1 << 28}).toString();
    const model = await llama.loadModel({modelPath: gguf, vocabOnly: true}), expected = out.split("\n");
    let differ = expected.length - 1 === cases.length ? 0 : 1;
    for (const [i, text] of cases.entries()) {
        const ids = [...model.tokenize(text, false)].join(" ");
        if (ids !== expected[i] && differ++ < 5)
            console.log(`FAIL ${source}: ${JSON.stringify(text)}: llama.cpp ${ids}, fettle ${expected[i]}`);
    }
    console.log(`${source}: ${cases.length} texts, ${differ} differ`);
    await model.dispose();
    differ ? failed++ : passed++;
}
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
