// Requests to the node. Errors carry what the node said, or that it could not be reached.

import { parseExact } from "./json";
import type { SourceError } from "./types";

export class ApiFailure extends Error {
  constructor(
    readonly status: number,
    readonly detail: SourceError,
  ) {
    super(detail.message);
  }
}

interface Options {
  /** Keep numbers in the digits that were sent: for rows. */
  exact?: boolean;
  signal?: AbortSignal;
}

export function get<T>(path: string, options: Options = {}): Promise<T> {
  return request<T>(path, {}, options);
}

export function post<T>(path: string, body: unknown, options: Options = {}): Promise<T> {
  const headers = { "content-type": "application/json" };
  return request<T>(path, { method: "POST", headers, body: JSON.stringify(body) }, options);
}

async function request<T>(path: string, init: RequestInit, options: Options): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, options.signal ? { ...init, signal: options.signal } : init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiFailure(0, { message: "The node cannot be reached." });
  }
  const text = await response.text();
  if (!response.ok) throw new ApiFailure(response.status, errorOf(text, response.status));
  return (options.exact ? parseExact(text) : JSON.parse(text)) as T;
}

function errorOf(text: string, status: number): SourceError {
  try {
    const error = (JSON.parse(text) as { error?: SourceError }).error;
    if (error && typeof error.message === "string") return error;
  } catch {
    // Not from the node itself.
  }
  return { message: `The node answered with status ${status}.` };
}

/** A name as a part of an address. */
export function part(name: string): string {
  return encodeURIComponent(name);
}
