// hf_tokenizers.mjs ENCODE_TEXTS SHARED SOURCES SCRATCH: a megabyte each of English, code, Chinese, emoji and random bytes,
// and every character of Unicode, through Hugging Face's tokenizers and through fettle (see test_hf_tokenizers). SCRATCH
// may hold more tokenizer directories (made_*).
import {createRequire} from "node:module";
import {execFileSync} from "node:child_process";
import {existsSync, readFileSync, readdirSync, writeFileSync} from "node:fs";
import {gunzipSync} from "node:zlib";

const {Tokenizer} = createRequire(import.meta.url)("tokenizers");
const [encodeTexts, shared, sources, scratch] = process.argv.slice(2);
const MEGABYTE = 1 << 20;

// Numbers that are the same every time: xorshift.
let state = 88172645463325252n;
function random(below) {
    state ^= (state << 13n) & 0xffffffffffffffffn;
    state ^= state >> 7n;
    state ^= (state << 17n) & 0xffffffffffffffffn;
    return Number((state >> 11n) % BigInt(below));
}

// A text without the 0 byte, which ends a text for encode_texts.
const clean = (text) => text.replaceAll("\0", " ").toWellFormed();

// Pieces of about `size` characters, wherever that cuts.
function chunks(text, size) {
    const list = [];
    for (let at = 0; at < text.length; at += size)
        list.push(clean(text.slice(at, at + size)));
    return list;
}

function filled(size, next) {
    let text = "";
    while (Buffer.byteLength(text) < size) {
        for (let i = 0; i < 1000; i++)
            text += next();
    }
    return text;
}

function code() {
    let text = "";
    for (const room of readdirSync(sources, {withFileTypes: true}))
        for (const file of room.isDirectory() ? readdirSync(`${sources}/${room.name}`) : [])
            if (/\.[ch]$/.test(file) && text.length < MEGABYTE)
                text += readFileSync(`${sources}/${room.name}/${file}`, "utf8");
    return text.repeat(Math.ceil(MEGABYTE / text.length)).slice(0, MEGABYTE);
}

// Words are those that a Chinese vocabulary has, so that merges have work to do.
async function chinese() {
    const vocabulary = Tokenizer.fromFile(`${shared}/vocab/hf/qwen2.5-0.5b-instruct/tokenizer.json`);
    const ids = Array.from({length: vocabulary.getVocabSize()}, (_, id) => [id]);
    const words = (await vocabulary.decodeBatch(ids, true)).filter((word) => /^\p{Script=Han}+$/u.test(word));
    const marks = ["，", "。", "、", "！", "？", "：", "“", "”", "\n", " ", "2026年", "％"];
    const any = () => String.fromCodePoint(0x4e00 + random(0x51a6));
    return filled(MEGABYTE, () => !random(8) ? marks[random(marks.length)]
        : random(20) ? words[random(words.length)] : any());
}

function emoji() {
    const joined = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "1️⃣", "🦙", "👨🏿‍🚀", " ", "ok ", "\n"];
    return filled(MEGABYTE, () => random(3) ? String.fromCodePoint(0x1f300 + random(0x3ff)) : joined[random(joined.length)]);
}

function bytes() {
    const data = Buffer.alloc(MEGABYTE);
    for (let i = 0; i < data.length; i++)
        data[i] = 1 + random(255);
    return data;
}

const characters = (name) => readFileSync(`${scratch}/${name}`, "utf8").split("\0").slice(0, -1);
const noise = bytes(), half = MEGABYTE / 2;
const corpora = {
    English: chunks(gunzipSync(readFileSync(`${shared}/data/english/mix-valid.txt.gz`)).toString().slice(0, MEGABYTE), 1000),
    code: chunks(code(), 1000),
    Chinese: chunks(await chinese(), 700),
    emoji: chunks(emoji(), 500),
    "random bytes": [...chunks(noise.subarray(half).toString("utf8"), 500), ...chunks(noise.subarray(0, half).toString("latin1"), 500)],
    "every character": characters("characters"),
    "odd spaces": ["", " ", "  ", " a", "a ", "\n", " \n a  b\t", "  leading", "a  b   c    d", "\u2581", "\u2581\u2581a \u2581b",
        "\u3000a", "a\u00a0b", "\r\n\r\n x", "<s>a</s> b", "[CLS] a [SEP]", "a<unk>b", "don't WON'T we'LL", "1234567"]
};

// What the reference itself refuses cannot be compared.
function load(path) {
    try {
        return Tokenizer.fromFile(path);
    } catch (e) {
        console.log(`SKIP ${path}: ${e.message.split("\n")[0]}`);
        return null;
    }
}

// The reference's tables for WordPiece are those of an old Unicode: it gets the characters that have not changed since.
const old = new Set([...characters("old_characters").join("")]);
const aged = Object.fromEntries(Object.entries(corpora).map(([name, texts]) => name === "every character"
    ? [name, characters("old_characters")] : [name, texts.map((text) => [...text].filter((c) => old.has(c) || c > "\u{1f000}").join(""))]));

async function compare(name, path) {
    const reference = load(`${path}/tokenizer.json`);
    if (!reference)
        return null;
    reference.disableTruncation();
    reference.disablePadding();
    const {model, added_tokens} = JSON.parse(readFileSync(`${path}/tokenizer.json`, "utf8"));
    const wordPiece = model.type === "WordPiece";
    // The reference looks for a control token that is "normalized" in what a normalizer made of it ("▁<s>"), so that it
    // hardly ever finds one; fettle finds it as it stands.
    const lost = added_tokens.filter((token) => token.special && token.normalized).map((token) => token.content);
    const others = ["vocab.txt", "tekken.json"].filter((file) => existsSync(`${path}/${file}`));
    let differ = 0;
    for (const [corpus, all] of Object.entries(wordPiece ? aged : corpora)) {
        const texts = all.map((text) => lost.reduce((rest, token) => rest.replaceAll(token, "."), text));
        writeFileSync(`${scratch}/texts`, texts.map((text) => text + "\0").join(""));
        const theirs = (await reference.encodeBatch(texts, {addSpecialTokens: false})).map((encoding) => encoding.getIds().join(" "));
        let wrong = 0;
        for (const file of ["tokenizer.json", ...others]) {
            const ours = execFileSync(encodeTexts, ["-s", `${path}/${file}`, `${scratch}/texts`], {maxBuffer: 1 << 29}).toString().split("\n");
            wrong += ours.length - 1 !== texts.length;
            for (const [i, ids] of theirs.entries())
                if (ids !== ours[i] && wrong++ < 2)
                    console.log(`FAIL ${name}/${file}, ${corpus}: ${JSON.stringify(texts[i].slice(0, 300))}\n  ${ids.slice(0, 300)}\n  ${ours[i]?.slice(0, 300)}`);
        }
        console.log(`${[name, ...others].join(", ")}, ${corpus}: ${texts.length} texts, ${wrong} differ`);
        differ += wrong;
    }
    return differ === 0;
}

let passed = 0, failed = 0, skipped = 0;
for (const folder of [`${shared}/vocab/hf`, `${shared}/models`, scratch])
    for (const name of readdirSync(folder).sort()) {
        if (!existsSync(`${folder}/${name}/tokenizer.json`))
            continue;
        const same = await compare(name, `${folder}/${name}`);
        same === null ? skipped++ : same ? passed++ : failed++;
    }
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed ? 1 : 0);
