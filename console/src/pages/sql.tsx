// SQL by hand: run with Ctrl+Enter, results as tables, errors where they are.

import { type Component, For, Show, createSignal, onMount } from "solid-js";
import { ApiFailure, post } from "../data/api";
import * as format from "../data/format";
import { planOf } from "../data/plan";
import type { SqlResult, SourceError } from "../data/types";
import { CellValue, isNumeric } from "../parts/cell";
import { Card, PageHead } from "../parts/page";
import { PlanTree } from "../parts/plan";
import { type Draft, drafts } from "./sql-drafts";

const EXAMPLES = ["SHOW VIEWS", "SHOW TOPICS", "SELECT * FROM headwater_errors LIMIT 20"];
const ROWS_SHOWN = 500;

interface Outcome {
  results?: SqlResult[];
  error?: SourceError;
  tookMs: number;
}

export const SqlPage: Component = () => {
  let editor!: HTMLTextAreaElement;
  const [text, setText] = createSignal(drafts.text());
  const [running, setRunning] = createSignal(false);
  const [outcome, setOutcome] = createSignal<Outcome>();
  const [recent, setRecent] = createSignal<Draft[]>(drafts.recent());
  onMount(() => editor.focus());

  function edit(next: string): void {
    setText(next);
    drafts.keep(next);
  }
  async function run(): Promise<void> {
    const sql = text().trim();
    if (sql === "" || running()) return;
    setRunning(true);
    const started = performance.now();
    const took = () => performance.now() - started;
    try {
      const { results } = await post<{ results: SqlResult[] }>("/api/sql", { sql: text() }, { exact: true });
      setOutcome({ results, tookMs: took() });
    } catch (failure) {
      const error = failure instanceof ApiFailure ? failure.detail : { message: String(failure) };
      setOutcome({ error, tookMs: took() });
      select(editor, error);
    }
    setRecent(drafts.remember(sql));
    setRunning(false);
  }
  function keys(event: KeyboardEvent): void {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    void run();
  }
  function choose(sql: string): void {
    edit(sql);
    editor.focus();
  }
  return (
    <>
      <PageHead title="SQL" />
      <div class="stack">
        <section class="card editor">
          <textarea
            ref={editor}
            class="code"
            rows={Math.min(16, Math.max(6, text().split("\n").length + 1))}
            spellcheck={false}
            autocomplete="off"
            autocapitalize="off"
            aria-label="SQL"
            placeholder="SELECT * FROM a_view LIMIT 100"
            value={text()}
            onInput={(event) => edit(event.currentTarget.value)}
            onKeyDown={keys}
          />
          <div class="editor-foot">
            <button type="button" class="button primary" disabled={running() || text().trim() === ""} onClick={() => void run()}>
              {running() ? "Running" : "Run"}
              <kbd>Ctrl ↵</kbd>
            </button>
            <select class="input recent" aria-label="Statements run before" onChange={(event) => (choose(event.currentTarget.value), (event.currentTarget.value = ""))}>
              <option value="">Recent</option>
              <For each={recent()}>{(draft) => <option value={draft.sql}>{draft.sql.replace(/\s+/g, " ").slice(0, 80)}</option>}</For>
            </select>
            <span class="quiet editor-note">
              <Show when={outcome()}>{(o) => `${format.count(Math.round(o().tookMs))} ms`}</Show>
            </span>
          </div>
        </section>
        <Show when={outcome()} fallback={<Hints choose={choose} />}>
          {(o) => (
            <>
              <Show when={o().error}>{(error) => <SqlError error={error()} />}</Show>
              <For each={o().results}>
                {(result) => (
                  <Show when={planOf(result)} fallback={<Result result={result} />}>
                    {(plan) => (
                      <Card title="Plan" aside={<span class="quiet">the result first, what it reads below</span>}>
                        <PlanTree plan={plan()} />
                      </Card>
                    )}
                  </Show>
                )}
              </For>
            </>
          )}
        </Show>
      </div>
    </>
  );
};

/** Puts the cursor where the error is. */
function select(editor: HTMLTextAreaElement, error: SourceError): void {
  if (error.line === undefined || error.column === undefined) return;
  const before = editor.value.split("\n").slice(0, error.line - 1);
  const at = before.reduce((sum, line) => sum + line.length + 1, 0) + error.column - 1;
  const word = /^\w+/.exec(editor.value.slice(at))?.[0].length ?? 1;
  editor.focus();
  editor.setSelectionRange(at, at + word);
}

const Hints: Component<{ choose: (sql: string) => void }> = (props) => (
  <div class="hints">
    <span class="quiet">Try</span>
    <For each={EXAMPLES}>
      {(sql) => (
        <button type="button" class="chip" onClick={() => props.choose(sql)}>
          {sql}
        </button>
      )}
    </For>
  </div>
);

const SqlError: Component<{ error: SourceError }> = (props) => (
  <section class="card sql-error" role="alert">
    <h2>{props.error.message}</h2>
    <Show when={props.error.line}>
      <p class="quiet">
        {props.error.file ? `${props.error.file}, ` : ""}line {props.error.line}, column {props.error.column}
      </p>
    </Show>
    <Show when={props.error.caret}>
      <pre class="caret">{props.error.caret}</pre>
    </Show>
    <Show when={props.error.hint}>
      <p class="hint">{props.error.hint}</p>
    </Show>
  </section>
);

const Result: Component<{ result: SqlResult }> = (props) => {
  const result = props.result;
  const note = (): string =>
    [
      result.columns.length > 0 ? format.plural(result.rows.length, "row") : "",
      result.truncated ? "the rest was left out" : "",
      Number(result.behind) > 0 ? `${format.count(Number(result.behind))} records behind` : "",
    ]
      .filter(Boolean)
      .join(" · ");
  return (
    <Show when={result.columns.length > 0} fallback={<p class="card sql-done">{result.message ?? "done"}</p>}>
      <Card title={result.message ?? "Result"} aside={<span class="quiet">{note()}</span>}>
        <div class="table-wrap rows-wrap" tabindex="0" role="region" aria-label="Rows of the result">
          <table class="table rows">
            <thead>
              <tr>
                <For each={result.columns}>
                  {(column) => (
                    <th scope="col" class={isNumeric(column.type) ? "number" : ""}>
                      {column.name}
                      <span class="column-note">{column.type.toLowerCase()}</span>
                    </th>
                  )}
                </For>
              </tr>
            </thead>
            <tbody>
              <For each={result.rows.slice(0, ROWS_SHOWN)}>
                {(row) => (
                  <tr>
                    <For each={result.columns}>
                      {(column, n) => (
                        <td class={isNumeric(column.type) ? "number" : ""}>
                          <CellValue value={row[n()] ?? null} type={column.type} />
                        </td>
                      )}
                    </For>
                  </tr>
                )}
              </For>
            </tbody>
          </table>
        </div>
        <Show when={result.rows.length > ROWS_SHOWN}>
          <p class="card-note">
            The first {ROWS_SHOWN} of {format.whole(result.rows.length)} rows. Add a LIMIT, or use headwater sql for all of them.
          </p>
        </Show>
        <Show when={result.rows.length === 0}>
          <p class="card-note">No rows.</p>
        </Show>
      </Card>
    </Show>
  );
};
