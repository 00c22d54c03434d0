// Exports of fettle in the prebuilt llama.cpp: same prompt ids, and for F16 the same greedy tokens as `fettle generate`.
//
//   node test_llama.mjs FETTLE SCRATCH_DIR MODEL...      run by test_llama, beside which llama_oracle.mjs stands
import {execFileSync, spawnSync} from "node:child_process";
import {basename, dirname, join} from "node:path";
import {fileURLToPath} from "node:url";

const [fettle, scratch, ...models] = process.argv.slice(2);
const oracle = join(dirname(fileURLToPath(import.meta.url)), "llama_oracle.mjs");
const COUNT = 40;
// A story's opening, the manner of a report, digits, capitals, punctuation, white space, letters outside ASCII.
const PROMPTS = [
    "Once upon a time",
    "The pump was not",
    "Report: conv belt lse, adj'd\nLabels:",
    "WO 4711: L2 FILLER 3/8\" valve; 12.5 bar (max 40)",
    "  two spaces, a\ttab\n\nand an empty line ",
    "Ölstand prüfen – 60 °C, naïve café, 漢字 🙂",
];
let passed = 0, failed = 0;

function check(holds, what, detail) {
    if (holds)
        passed++;
    else {
        failed++;
        console.log(`FAILED: ${what}${detail ? ": " + detail : ""}`);
    }
}

const run = (...args) => execFileSync(fettle, args, {encoding: "utf8", maxBuffer: 1 << 26, stdio: ["ignore", "pipe", "pipe"]});
const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
const differing = (a, b) => {
    const at = a.findIndex((x, i) => x !== b[i]);
    return `at ${at < 0 ? Math.min(a.length, b.length) : at}: fettle [${a}] llama.cpp [${b}]`;
};

function ask(gguf) {
    const r = spawnSync(process.execPath, [oracle, gguf, String(COUNT)],
        {input: JSON.stringify(PROMPTS), encoding: "utf8", maxBuffer: 1 << 26, timeout: 240000});
    if (r.status !== 0)
        throw new Error(`llama.cpp refuses ${gguf}: ${r.stderr}`);
    return JSON.parse(r.stdout);
}

function compare(model, quant) {
    const gguf = join(scratch, `${basename(model)}-${quant}.gguf`);
    run("export", model, "--format", "gguf", "--quant", quant, "--out", gguf);
    const answers = ask(gguf);
    for (const {prompt, ids, generated} of answers.cases) {
        const what = `${basename(model)} ${quant} ${JSON.stringify(prompt)}`;
        const encoded = JSON.parse(run("tokenizer", "encode", model, "--text", prompt, "--json")).ids;
        check(same(encoded, ids), `${what}: prompt ids`, differing(encoded, ids));
        if (quant !== "f16")
            continue;
        const mine = JSON.parse(run("generate", gguf, "--prompt", prompt, "--max-new-tokens", String(COUNT), "--json"));
        const asked = answers.add_bos ? [answers.bos, ...ids] : ids;
        check(same(mine.prompt_ids, asked), `${what}: ids with BOS`, differing(mine.prompt_ids, asked));
        check(same(mine.ids, generated), `${what}: greedy tokens`, differing(mine.ids, generated));
    }
}

for (const model of models)
    for (const quant of ["f16", "q8_0"]) {
        try {
            compare(model, quant);
        } catch (e) {
            check(false, `${basename(model)} ${quant}`, e.stderr || e.message);
        }
    }
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
