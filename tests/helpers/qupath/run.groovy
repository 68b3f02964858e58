/**
 * Run scripts as QuPath does, compiled once and with its imports before, once for each case: a folder with a file `case`
 * of lines `key=value`.
 */
import java.awt.image.BufferedImage
import javax.script.ScriptContext
import javax.script.ScriptEngineManager
import javax.script.SimpleScriptContext

import groovy.transform.CompileStatic
import qupath.ext.djl.DjlDnnModelBuilder
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.color.ColorModelFactory
import qupath.lib.gui.QuPathGUI
import qupath.lib.images.servers.AbstractTileableImageServer
import qupath.lib.images.servers.ImageChannel
import qupath.lib.images.servers.ImageServerBuilder
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.PixelType
import qupath.lib.images.servers.TileRequest
import qupath.lib.scripting.QP
import qupath.opencv.dnn.DnnModels

/** An image in a file of big-endian float, T Z C Y X, in tiles of 100 x 90. */
@CompileStatic
class Opened extends AbstractTileableImageServer {
    private final File file
    private final ImageServerMetadata described
    private final float[] pixels

    Opened(File file, ImageServerMetadata described) {
        this.file = file
        this.described = described
        byte[] bytes = file.getBytes()
        pixels = new float[bytes.length.intdiv(4)]
        java.nio.ByteBuffer.wrap(bytes).asFloatBuffer().get(pixels)
    }

    @Override
    protected BufferedImage readTile(TileRequest tile) {
        int bands = described.channels.size()
        BufferedImage image = described.rgb ?
            new BufferedImage(tile.imageWidth, tile.imageHeight, BufferedImage.TYPE_INT_RGB) : banded(tile)
        for (int band = 0; band < bands; band++)
            for (int y = 0; y < tile.imageHeight; y++)
                for (int x = 0; x < tile.imageWidth; x++) {
                    int plane = (tile.t * described.sizeZ + tile.z) * bands + band
                    int at = (plane * described.height + tile.imageY + y) * described.width + tile.imageX + x
                    image.getRaster().setSample(x, y, band, pixels[at])
                }
        return image
    }

    private BufferedImage banded(TileRequest tile) {
        def colours = ColorModelFactory.createColorModel(described.pixelType, described.channels)
        def raster = colours.createCompatibleWritableRaster(tile.imageWidth, tile.imageHeight)
        return new BufferedImage(colours, raster, false, null)
    }

    @Override
    Collection<URI> getURIs() {
        return [file.toURI()] as Collection<URI>
    }

    @Override
    String getServerType() {
        return "Opened"
    }

    @Override
    ImageServerMetadata getOriginalMetadata() {
        return described
    }

    @Override
    protected ImageServerBuilder.ServerBuilder<BufferedImage> createServerBuilder() {
        return null
    }

    @Override
    protected String createID() {
        return file.getPath()
    }
}

static ImageServerMetadata metadata(Map<String, String> given) {
    def (t, z, c, height, width) = given.shape.tokenize()*.toInteger()
    def sizes = given.pixel.tokenize()*.toDouble()
    return new ImageServerMetadata(
        width: width, height: height, sizeZ: z, sizeT: t, rgb: given.rgb == "true", pixelType: PixelType.valueOf(given.type),
        pixelWidth: sizes[0], pixelHeight: sizes[1], zSpacing: sizes[2], preferredTileWidth: 100, preferredTileHeight: 90,
        channels: given.channels.tokenize("|").collect { new ImageChannel(it) })
}

Thread.currentThread().setContextClassLoader(this.class.classLoader)
def engine = new ScriptEngineManager().getEngineByName("groovy")
def imports = "import static qupath.lib.gui.scripting.QPEx.*\n"
def scripts = [:].withDefault { engine.compile(imports + new File(it).getText("UTF-8")) }
for (name in args) {
    def folder = new File(name)
    def given = new File(folder, "case").readLines("UTF-8").collectEntries { it.split("=", 2) as List }
    QuPathGUI.instance = given.window == "true" ? new QuPathGUI() : null
    FileChoosers.directory = given.directory ? new File(given.directory) : null
    FileChoosers.file = given.file ? new File(given.file) : null
    Dialogs.shown.clear()
    DnnModels.reset()
    DjlDnnModelBuilder.calls.clear()
    QP.opened = given.image ? new QP.ImageData(server: new Opened(new File(given.image), metadata(given))) : null
    def told = ""
    def out = new StringWriter()
    try {
        def context = new SimpleScriptContext()
        context.setAttribute("args", (given.args ?: "").tokenize("\t") as String[], ScriptContext.ENGINE_SCOPE)
        context.setWriter(out)
        scripts[given.script].eval(context)
    } catch (Throwable error) {
        while (error.getCause() != null)
            error = error.getCause()
        told = error.getMessage() ?: error.toString()
    }
    new File(folder, "calls").setText(DjlDnnModelBuilder.calls.join("\n"), "UTF-8")
    new File(folder, "told").setText(told, "UTF-8")
    new File(folder, "printed").setText(out.toString(), "UTF-8")
    new File(folder, "shown").setText(Dialogs.shown.join("\n"), "UTF-8")
}
