import { defineConfig } from "vite";
import solid from "vite-plugin-solid";

// The bundle is committed under the crate that embeds it. Names are fixed and nothing depends on time or place, so that the
// same sources give the same bytes.
export default defineConfig({
  plugins: [solid()],
  server: { proxy: { "/api": process.env["HEADWATER_HTTP"] ?? "http://127.0.0.1:8080" } },
  build: {
    outDir: process.env["CONSOLE_OUT"] ?? "../crates/edge-http/console",
    emptyOutDir: true,
    target: "es2022",
    cssCodeSplit: false,
    // The page's content security policy allows no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: false,
    rollupOptions: {
      output: {
        entryFileNames: "assets/console.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/console[extname]",
      },
    },
  },
});
