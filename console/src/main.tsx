import { render } from "solid-js/web";
import { App } from "./app";
import { startLive } from "./data/live";
import { startRouter } from "./data/router";
import "uplot/dist/uPlot.min.css";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/parts.css";
import "./styles/pages.css";

const root = document.getElementById("app");
if (root) {
  startRouter();
  startLive();
  render(() => <App />, root);
}
