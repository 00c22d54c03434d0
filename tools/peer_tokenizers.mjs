// peer_tokenizers.mjs MODULES TOKENIZER.json TEXT ROUNDS: megabytes of text a second through Hugging Face's tokenizers from
// npm, on one thread: what `fettle bench tokenizer` is compared with. The text goes in as a whole and as lines, which that
// package likes better. Prints one JSON object; times are the best of the rounds, after one that does not count.
import {createRequire} from "node:module";
import {readFileSync} from "node:fs";

const [modules, path, file, rounds] = process.argv.slice(2);
const {Tokenizer} = createRequire(`${modules}/`)("tokenizers");
const text = readFileSync(file, "utf8"), bytes = Buffer.byteLength(text);
const tokenizer = Tokenizer.fromFile(path);
tokenizer.disableTruncation();
tokenizer.disablePadding();

async function best(run) {
    let least = Infinity, tokens = 0;
    for (let i = 0; i <= Number(rounds); i++) {
        const begun = performance.now();
        tokens = await run();
        if (i)
            least = Math.min(least, performance.now() - begun);
    }
    return {mb_per_s: bytes / least / 1000, tokens};
}

const options = {addSpecialTokens: false};
const whole = await best(async () => (await tokenizer.encode(text, null, options)).getLength());
const lines = text.split(/(?<=\n)/);
const byLines = await best(async () =>
    (await tokenizer.encodeBatch(lines, options)).reduce((sum, encoding) => sum + encoding.getLength(), 0));
console.log(JSON.stringify({whole_mb_per_s: whole.mb_per_s, lines_mb_per_s: byLines.mb_per_s,
    encode_mb_per_s: Math.max(whole.mb_per_s, byLines.mb_per_s), tokens: whole.tokens}));
