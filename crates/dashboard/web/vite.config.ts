import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import { keelsonBundle } from './build/bundle.mjs';
import { xtermStyles } from './build/xterm.mjs';

// Names without hashes: the server answers with entity tags, and diffs of dist/ keep the same files.
export default defineConfig({
  base: './',
  plugins: [react(), xtermStyles(), keelsonBundle()],
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 2000,
    rollupOptions: {
      output: {
        entryFileNames: 'assets/[name].js',
        chunkFileNames: 'assets/[name].js',
        assetFileNames: 'assets/[name][extname]',
      },
    },
  },
});
