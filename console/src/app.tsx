// The frame around every page, and which page an address means.

import { type Component, ErrorBoundary, For, Match, Show, Switch, createEffect } from "solid-js";
import { connection, overview } from "./data/live";
import { parts, path } from "./data/router";
import { theme, toggleTheme } from "./data/theme";
import * as format from "./data/format";
import { Icon, type IconName, Logo } from "./parts/icon";
import { Empty } from "./parts/empty";
import { AlertsPage } from "./pages/alerts";
import { DeadLettersPage } from "./pages/dead-letters";
import { GroupsPage } from "./pages/groups";
import { OverviewPage } from "./pages/overview";
import { PipelinesPage } from "./pages/pipelines";
import { SqlPage } from "./pages/sql";
import { TopicPage } from "./pages/topic";
import { TopicsPage } from "./pages/topics";
import { ViewPage } from "./pages/view";
import { ViewsPage } from "./pages/views";

interface Place {
  at: string;
  title: string;
  icon: IconName;
  badge?: () => number;
  tone?: "bad" | "quiet";
}

const PLACES: Place[] = [
  { at: "", title: "Overview", icon: "overview" },
  { at: "topics", title: "Topics", icon: "topics" },
  { at: "groups", title: "Groups", icon: "groups" },
  { at: "pipelines", title: "Pipelines", icon: "pipelines" },
  { at: "views", title: "Views", icon: "views" },
  { at: "sql", title: "SQL", icon: "sql" },
  { at: "alerts", title: "Alerts", icon: "alerts", badge: () => overview()?.alerts_firing ?? 0, tone: "bad" },
  {
    at: "dead-letters",
    title: "Dead letters",
    icon: "dead",
    badge: () => overview()?.dead_letters_total ?? 0,
    tone: "quiet",
  },
];

const here = () => parts()[0] ?? "";
const name = () => parts()[1];

export const App: Component = () => {
  createEffect(() => {
    const title = PLACES.find((place) => place.at === here())?.title ?? "Not found";
    document.title = [name(), title, "Headwater"].filter(Boolean).join(" · ");
  });
  return (
    <div class="shell">
      <a class="skip" href={`${path()}#main`} target="_self">
        Skip to the page
      </a>
      <Sidebar />
      <main id="main" tabindex="-1">
        <Banner />
        <ErrorBoundary fallback={(error: unknown) => <Broken error={error} />}>
          <Page />
        </ErrorBoundary>
      </main>
    </div>
  );
};

const Page: Component = () => (
  <Switch fallback={<NotFound />}>
    <Match when={here() === ""}>
      <OverviewPage />
    </Match>
    <Match when={here() === "topics" && !name()}>
      <TopicsPage />
    </Match>
    <Match when={here() === "topics" && name()} keyed>
      {(topic) => <TopicPage name={topic} />}
    </Match>
    <Match when={here() === "groups"}>
      <GroupsPage name={name()} />
    </Match>
    <Match when={here() === "pipelines"}>
      <PipelinesPage name={name()} />
    </Match>
    <Match when={here() === "views" && !name()}>
      <ViewsPage />
    </Match>
    <Match when={here() === "views" && name()} keyed>
      {(view) => <ViewPage name={view} />}
    </Match>
    <Match when={here() === "sql"}>
      <SqlPage />
    </Match>
    <Match when={here() === "alerts"}>
      <AlertsPage />
    </Match>
    <Match when={here() === "dead-letters"}>
      <DeadLettersPage />
    </Match>
  </Switch>
);

const Sidebar: Component = () => (
  <header class="sidebar">
    <a class="brand" href="/" aria-label="Headwater, overview">
      <Logo />
      <span>Headwater</span>
    </a>
    <nav aria-label="Pages">
      <For each={PLACES}>{(place) => <PlaceLink place={place} />}</For>
    </nav>
    <div class="sidebar-foot">
      <Status />
      <button
        type="button"
        class="icon-button theme-toggle"
        onClick={toggleTheme}
        title={theme() === "dark" ? "Use the light theme" : "Use the dark theme"}
        aria-label={theme() === "dark" ? "Use the light theme" : "Use the dark theme"}
      >
        <Icon name={theme() === "dark" ? "sun" : "moon"} />
      </button>
    </div>
  </header>
);

const PlaceLink: Component<{ place: Place }> = (props) => {
  const badge = () => props.place.badge?.() ?? 0;
  const active = () => here() === props.place.at;
  let link!: HTMLAnchorElement;
  // On narrow screens the places scroll sideways.
  createEffect(() => active() && link.scrollIntoView({ block: "nearest", inline: "center" }));
  return (
    <a
      ref={link}
      href={`/${props.place.at}`}
      class="place"
      aria-current={active() ? "page" : undefined}
    >
      <Icon name={props.place.icon} />
      <span>{props.place.title}</span>
      <Show when={badge() > 0}>
        <span class="place-badge" data-tone={props.place.tone}>
          {format.count(badge())}
        </span>
      </Show>
    </a>
  );
};

const STATUS = { live: "Live", connecting: "Connecting", lost: "Disconnected" };

const Status: Component = () => (
  <div class="status" data-state={connection()} role="status">
    <span class="dot" />
    <span class="status-text">{STATUS[connection()]}</span>
    <Show when={overview()}>{(o) => <span class="status-version">v{o().node.version}</span>}</Show>
  </div>
);

const Banner: Component = () => (
  <Show when={connection() === "lost"}>
    <div class="banner" role="alert">
      <span class="spinner" />
      <span>
        The node does not answer. What you see is from before; this page reconnects by itself as soon as the node is back.
      </span>
    </div>
  </Show>
);

const NotFound: Component = () => (
  <Empty title="There is no page here" text="The address may be mistyped, or from another version.">
    <a class="button" href="/">
      Go to the overview
    </a>
  </Empty>
);

const Broken: Component<{ error: unknown }> = (props) => (
  <Empty title="This page has failed" text={String(props.error)}>
    <button type="button" class="button" onClick={() => location.reload()}>
      Load it again
    </button>
  </Empty>
);
