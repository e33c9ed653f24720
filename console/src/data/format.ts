// Numbers, sizes and times as people read them.

const COUNT_UNITS = ["", " k", " M", " G", " T"];
const BYTE_UNITS = [" B", " KiB", " MiB", " GiB", " TiB"];
const NOTHING = "–";

function scaled(value: number, step: number, units: string[]): string {
  let at = 0;
  let rest = Math.abs(value);
  while (rest >= step * 0.9995 && at < units.length - 1) {
    rest /= step;
    at += 1;
  }
  const digits = at === 0 ? (rest < 10 && rest % 1 !== 0 ? 1 : 0) : rest < 9.95 ? 2 : rest < 99.5 ? 1 : 0;
  return `${value < 0 ? "-" : ""}${rest.toFixed(digits)}${units[at]}`;
}

/** `1.23 M`; exact below 10,000. */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING;
  return Math.abs(value) < 10_000 && Number.isInteger(value) ? value.toLocaleString("en") : scaled(value, 1000, COUNT_UNITS);
}

export function whole(value: number | null | undefined): string {
  return value === null || value === undefined ? NOTHING : value.toLocaleString("en");
}

/** `13.9 k/s` */
export function rate(value: number | null | undefined): string {
  return value === null || value === undefined ? NOTHING : `${scaled(value, 1000, COUNT_UNITS)}/s`;
}

export function bytes(value: number | null | undefined): string {
  return value === null || value === undefined ? NOTHING : scaled(value, 1024, BYTE_UNITS);
}

export function byteRate(value: number | null | undefined): string {
  return value === null || value === undefined ? NOTHING : `${bytes(value)}/s`;
}

/** `42 s`, `3 min`, `2 h 10 min`, `5 d` */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 || days > 6 ? `${days} d` : `${days} d ${hours % 24} h`;
}

export function ago(ms: number | null | undefined, now: number): string {
  if (ms === null || ms === undefined) return "never";
  return now - ms < 1500 ? "just now" : `${duration(now - ms)} ago`;
}

/** The last instant that a date can hold; a watermark past it says that the input has ended. */
const END_OF_TIME_MS = 8.64e15;

/** `2013-01-14 05:20:07` (UTC) */
export function instant(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return NOTHING;
  if (Math.abs(ms) >= END_OF_TIME_MS) return ms > 0 ? "end of input" : NOTHING;
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

/** `14:03:22.417`, local time. */
export function clock(ms: number, millis = false): string {
  const at = new Date(ms);
  const two = (n: number) => String(n).padStart(2, "0");
  const text = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return millis ? `${text}.${String(at.getMilliseconds()).padStart(3, "0")}` : text;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}
